"""Labels on the screen: one answer and the rule it was judged by, one key to say whether it fits.

Knows cases and keys; every key is kept at once. What the judge said is hidden: who knows it agrees
with it too easily.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from screens.safe import line, text
from store import labels
from store.catalogue import Catalogue

if TYPE_CHECKING:
    from engine.checks.people import Case


class LabelScreen(ModalScreen[None]):
    """Asks a person what a judge was asked, in an order of chance that stays the same."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "label(True)", show=False),
        Binding("n", "label(False)", show=False),
        Binding("s", "later", show=False),
        Binding("u", "back", show=False),
        Binding("escape,q", "close", show=False),
    ]

    def __init__(self, cat: Catalogue, cases: Sequence[Case]) -> None:
        super().__init__()
        self.cat = cat
        given = labels.find(cat, [case.key for case in cases])
        self.total, self.known = len(cases), len(given)
        self.open = [case for case in cases if case.key not in given]
        random.Random(0).shuffle(self.open)
        self.done: list[Case] = []

    def compose(self) -> ComposeResult:
        with Container(classes="labelling"):
            yield Static(id="label-progress")
            with VerticalScroll(can_focus=False):
                yield Static(id="label-case")
            yield Static(id="label-keys")

    def on_mount(self) -> None:
        self._show()

    def _show(self) -> None:
        told = f"{self.known + len(self.done):,} of {self.total:,} labelled"
        self.query_one("#label-progress", Static).update(line(told, "bold"))
        case = self.open[0] if self.open else None
        keys = "y yes  n no  s later  u back  esc leave" if case else "u back  esc leave"
        self.query_one("#label-keys", Static).update(line(keys, "$text-muted"))
        shown = self.query_one("#label-case", Static)
        said = "All are labelled." if self.total else "The judge has decided nothing to be checked."
        shown.update(Content(said) if case is None else _case(case))

    def action_label(self, good: bool) -> None:
        if self.open:
            case = self.open.pop(0)
            labels.give(self.cat, case.key, good)
            self.done.append(case)
            self._show()

    def action_later(self) -> None:
        if self.open:
            self.open.append(self.open.pop(0))
            self._show()

    def action_back(self) -> None:
        """Take the last label back."""
        if self.done:
            case = self.done.pop()
            labels.give(self.cat, case.key, None)
            self.open.insert(0, case)
            self._show()

    def action_close(self) -> None:
        self.dismiss()


def _case(case: Case) -> Content:
    parts = [("rule", case.check.values[0], "$accent")]
    parts += [(turn.role, turn.text, "$text-muted") for turn in case.prompt.turns]
    parts.append(("answer", case.answer or "(nothing)", "$side-b bold"))
    if case.beside is not None:
        parts.append(("beside", case.beside or "(nothing)", "$side-a bold"))
    asked = "Is the answer the better one by the rule?" if case.beside is not None else (
        "Does the answer keep to the rule?"
    )  # fmt: skip
    lines = [Content.styled(f"{name}  ", tone) + text(said) for name, said, tone in parts]
    return Content("\n\n").join([*lines, Content.styled(asked, "bold")])
