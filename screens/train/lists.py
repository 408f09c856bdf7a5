"""Lists over the panel: runs to lay over, the queue, checkpoints, and what this means in full.

Knows rows and keys. Does not change anything by itself: the room is told what is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from screens.base import Shell
from screens.safe import line
from screens.widgets import words
from screens.widgets.ink import run_colour
from screens.widgets.modals import dialog
from store.errors import WorkbenchError
from store.rundb import Checkpoint
from store.runs import Run

Rows = Sequence[tuple[str, Content]]
"""What a row stands for, and its words."""
Keys = Sequence[tuple[str, str, Callable[[str], bool]]]
"""A key, its words, and what it does with the row's value; True closes the list."""


class RowsModal(ModalScreen[None]):
    """Rows with a cursor; each key does something with the row under it and the list goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", show=False),
        Binding("j", "move(1)", show=False),
        Binding("k", "move(-1)", show=False),
    ]

    def __init__(
        self,
        title: str,
        rows: Callable[[], Rows],
        keys: Keys,
        empty: str,
    ) -> None:
        """
        Args:
            rows: asked again after every key.
            empty: what is said where there are no rows.
        """
        super().__init__()
        self.title_words = title
        self.rows = rows
        self.keys = {key: do for key, _, do in keys}
        self.hint = "  ".join(f"{_NAMES.get(key, key)} {said}" for key, said, _ in keys)
        self.empty = empty
        self._values: list[str] = []
        for key in self.keys:
            self._bindings.bind(key, f"do('{key}')", show=False)

    def compose(self) -> ComposeResult:
        yield dialog(self.title_words, f"{self.hint}  esc close", Static(id="rows-empty"),
                     OptionList(), classes="-broad")  # fmt: skip

    def on_mount(self) -> None:
        self.fill()
        self.query_one(OptionList).focus()

    def fill(self, value: str | None = None) -> None:
        """Read the rows again; the cursor stays on `value`, or where it was."""
        options = self.query_one(OptionList)
        at = options.highlighted or 0
        rows = list(self.rows())
        self._values = [key for key, _ in rows]
        options.clear_options()
        options.add_options([Option(said) for _, said in rows])
        if value in self._values:
            at = self._values.index(value)
        options.highlighted = min(at, len(rows) - 1) if rows else None
        options.display = bool(rows)
        none = self.query_one("#rows-empty", Static)
        none.display = not rows
        none.update(Content.styled(self.empty, "$text-muted"))

    def action_do(self, key: str) -> None:
        place = self.query_one(OptionList).highlighted
        if place is None or place >= len(self._values):
            return
        value = self._values[place]
        try:
            done = self.keys[key](value)
        except WorkbenchError as error:  # No room is there to catch it while a list is open.
            cast(Shell, self.app).show_error(error)
            return
        if done:
            self.dismiss()
        else:
            self.fill(value)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if "enter" in self.keys:
            self.action_do("enter")

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        options.highlighted = ((options.highlighted or 0) + by) % max(len(self._values), 1)

    def action_close(self) -> None:
        self.dismiss()


_NAMES = {"enter": "⏎", "space": "space"}


class WordsModal(ModalScreen[None]):
    """A text to read, as tall as it needs to be."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,w,enter", "close", show=False)]

    def __init__(self, title: str, said: Content) -> None:
        super().__init__()
        self.title_words = title
        self.said = said

    def compose(self) -> ComposeResult:
        scroll = VerticalScroll(Static(self.said), id="words-scroll")
        yield dialog(self.title_words, "↑↓ scroll  esc close", scroll, classes="-broad")

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_close(self) -> None:
        self.dismiss()


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint as the list shows it."""

    checkpoint: Checkpoint
    pinned: bool
    best: bool


def overlay_rows(everyone: Sequence[Run], own: int | None, chosen: Sequence[int]) -> Rows:
    """Runs that have measured something, each with its colour, newest first."""
    return [
        (
            str(run.id),
            Content.assemble(
                ("✓ " if run.id in chosen else "  ", "$accent bold"),
                ("● ", run_colour(run.id)),
                (f"{run.id:>3}  ", "$foreground 60%"),
                line(run.name, limit=34).pad_right(max(36 - len(run.name), 1)),
                words.state(run.status).pad_right(max(12 - len(run.status), 1)),
                (f"loss {run.loss:.3f}" if run.loss is not None else "", "$foreground 60%"),
            ),
        )
        for run in everyone
        if run.id != own and run.step
    ]


def checkpoint_rows(kept: Sequence[Kept]) -> Rows:
    """Checkpoints, newest first: step, held-out loss, size, whether pinned and best."""
    return [
        (
            str(item.checkpoint.step),
            Content.assemble(
                ("▲ " if item.pinned else "  ", "$accent bold"),
                (f"step {item.checkpoint.step:>8,}   ", ""),
                ("held out " + _loss(item.checkpoint.eval_loss), "$foreground 60%"),
                (f"{words.size(item.checkpoint.bytes):>10}   ", "$foreground 60%"),
                ("pinned  " if item.pinned else "", "$accent"),
                ("★ best" if item.best else "", "$text-success"),
            ),
        )
        for item in reversed(kept)
    ]


def _loss(value: float | None) -> str:
    return f"{value:.4f}" if value is not None else "     –"
