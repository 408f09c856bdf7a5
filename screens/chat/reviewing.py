"""A review on the screen: one question, its answers beside each other, one key to judge them.

Knows items and keys; every key is a vote in the catalogue, so it can be left at any moment. Does
not ask models: whoever opened it says how far that has come.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from screens.chat.column import NAMES
from screens.safe import line, text
from screens.widgets.pane import Pane
from store import votes
from store.catalogue import Catalogue
from store.votes import Item, Review, Verdict

_PAIR = "< A  > B better  = tie  x both bad  s later  u back  p to rows  esc leave"
_ALONE = "> good  x bad  s later  u back  p to rows  esc leave"


class Side(Pane):
    """One answer."""

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static()


class ReviewScreen(ModalScreen[bool | None]):
    """Judges what is answered; what is not answered yet follows as it comes.

    Answers True where the votes are wanted as rows of a dataset.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("less_than_sign,comma", "judge('better', 0)", show=False),
        Binding("greater_than_sign,full_stop", "judge('better', 1)", show=False),
        Binding("equals_sign", "judge('tie')", show=False),
        Binding("x", "judge('bad')", show=False),
        Binding("s", "later", show=False),
        Binding("u", "back", show=False),
        Binding("p", "rows", show=False),
        Binding("escape,q", "close", show=False),
    ]

    def __init__(self, cat: Catalogue, review: Review) -> None:
        super().__init__()
        self.cat = cat
        self.review = review
        self.blind = bool(review.settings.get("blind"))
        self.items = votes.items(cat, review.id)
        self.asking = any(not item.answered for item in self.items)
        self._later: list[int] = []

    def compose(self) -> ComposeResult:
        with Container(classes="review"):
            yield Static(id="progress")
            with VerticalScroll(id="question", can_focus=False):
                yield Static()
            with Container(id="sides"):
                for name in NAMES:
                    yield Side(id=f"review-{name.lower()}", classes=f"-{name.lower()}")
            yield Static(id="keys")

    def on_mount(self) -> None:
        self.look(asking=self.asking)

    def look(self, *, asking: bool) -> None:
        """Read the items again: more may be answered."""
        self.asking = asking
        if not self.query("#progress"):
            return  # left, and being taken down
        self.items = votes.items(self.cat, self.review.id)
        self._show()

    @property
    def current(self) -> Item | None:
        """What is to be judged now."""
        open_ = [item for item in self.items if item.answered and item.vote is None]
        return min(open_, key=self._turn, default=None)

    def _turn(self, item: Item) -> tuple[int, int]:
        put_off = item.id in self._later
        return (self._later.index(item.id) + 1 if put_off else 0, item.id)

    def _show(self) -> None:
        item = self.current
        judged = sum(item.vote is not None for item in self.items)
        asked = sum(item.answered for item in self.items)
        words = f"{self.review.name} · {judged} of {len(self.items)} judged"
        if self.asking:
            words += f" · {asked} answered so far"
        self.query_one("#progress", Static).update(line(words, "bold"))
        question = self.query_one("#question Static", Static)
        sides = list(self.query(Side))
        for side in sides:
            side.display = False
        if item is None:
            question.update(text("\n".join(self._result())))
            self.query_one("#keys", Static).update(
                line("u back  p to rows  esc leave", "$text-muted")
            )
            return
        said = [
            Content.styled(f"{role}  ", "$text-muted") + text(what) for role, what in item.turns
        ]
        question.update(Content("\n").join(said))
        for side, answer in zip(sides, item.answers, strict=False):
            side.display = True
            name = "?" if self.blind else answer.model
            cut = "  ✂ limit" if answer.stop == "length" else ""
            side.title_is(line(f"{NAMES[sides.index(side)]} {name}{cut}"))
            side.query_one(Static).update(text(answer.text or "(nothing)"))
        keys = _ALONE if len(item.answers) == 1 else _PAIR
        self.query_one("#keys", Static).update(line(keys, "$text-muted"))

    def _result(self) -> list[str]:
        from engine.votes.tally import numbers, tally, verdicts

        if self.asking:
            return ["The models are asked …"]
        counts = tally(self.items, self.review.models)
        return ["All is judged.", "", *verdicts(counts), "", *numbers(counts)]

    def action_judge(self, verdict: Verdict, best: int | None = None) -> None:
        item = self.current
        if item is None or (len(item.answers) == 1 and verdict == "tie"):
            return
        if best is not None:
            best = min(best, len(item.answers) - 1)
        votes.vote(self.cat, item.id, verdict, best, blind=self.blind)
        self.look(asking=self.asking)

    def action_later(self) -> None:
        item = self.current
        if item is not None:
            self._later = [*(number for number in self._later if number != item.id), item.id]
            self._show()

    def action_back(self) -> None:
        """Take the last vote back, also one of an earlier sitting."""
        given = [item.vote for item in self.items if item.vote and not item.vote.note]
        if given:
            last = max(given, key=lambda vote: vote.id)
            votes.vote(self.cat, last.item_id, "withdrawn")
            self._later = [number for number in self._later if number != last.item_id]
            self.look(asking=self.asking)

    def action_rows(self) -> None:
        self.dismiss(True)

    def action_close(self) -> None:
        self.dismiss()
