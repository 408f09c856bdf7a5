"""What of a row can be written: its turns, or, where it has none, its texts.

A pen is a row as it would be kept, and what may be done to it; doing it makes another pen. The
bytes are changed by the engine. Knows rows. Knows no widget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.data.row import turns
from engine.data.rows import parse_row
from screens.data.fields import WHOLE, fields
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.data.rows import Row

_ROLES = ("system", "developer", "user", "assistant", "tool")
_FOREIGN = ("system", "human", "gpt", "observation", "function_call")
"""Roles as most ShareGPT files spell them."""
_ANSWERS = {"user": "assistant", "tool": "assistant"}
"""Who speaks after whom; after all others the user does."""


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a row: a turn with its role, or a field with its place.

    Attributes:
        label: the role as the row spells it, or the dotted place.
        role: the role it means; empty for a field.
        text: what can be written.
        train: what the row says about training it; None for nothing.
        side: `a` or `b` for the answers of a preference.
    """

    label: str
    text: str
    role: str = ""
    train: bool | None = None
    side: str = ""


class Pen:
    """The texts of a row that is no conversation; only texts can be changed."""

    kind = "texts"

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.parts: tuple[Part, ...] = self._parts()

    def _parts(self) -> tuple[Part, ...]:
        found = fields(parse_row(1, self.raw))
        return tuple(Part(f.dotted, f.text) for f in found if f.dotted != WHOLE)

    def _again(self, raw: bytes) -> Pen:
        return type(self)(raw)

    def written(self, at: int, text: str) -> Pen:
        """Part `at` says `text`.

        Raises:
            BadInput: the text cannot stand there.
        """
        from engine.data.row.splice import set_value

        return self._again(set_value(self.raw, self.parts[at].label, text))

    def row(self, at: int, text: str) -> Row:
        """The row as it is with `text` in part `at`; for looking at, not for keeping."""
        if text == self.parts[at].text:
            return parse_row(1, self.raw)
        return parse_row(1, self.written(at, text).raw)

    def roles(self) -> tuple[str, ...]:
        """The roles a turn of this row may have, as the row spells them; none for a field."""
        return ()

    def does(self, _what: str, _at: int) -> bool:
        """Whether something can be done to a part at all."""
        return False

    def done(self, what: str, at: int, _argument: str | int = 0) -> tuple[Pen, int]:
        """Do something to part `at`; the new pen, and which part to go on with.

        Raises:
            BadInput: the row has no place for it.
        """
        raise BadInput(f"{self.parts[at].label}: this row has no turns to {what}",
                       "E edits the row as JSON.")  # fmt: skip


class TurnPen(Pen):
    """The turns of a conversation, a preference or a completion."""

    kind = "turns"

    def _parts(self) -> tuple[Part, ...]:
        views = turns.turns(self.raw)
        pair = any(view.part == "rejected" for view in views)
        sides = {"answer": "a", "rejected": "b"} if pair else {}
        return tuple(
            Part(view.name, view.text, view.role, view.train, sides.get(view.part, ""))
            for view in views
        )

    def written(self, at: int, text: str) -> Pen:
        return self._again(turns.set_text(self.raw, at, text))

    def row(self, at: int, text: str) -> Row:
        row = parse_row(1, self.raw)
        if text == self.parts[at].text:
            return row
        said = at - len(row.turns)
        held = row.turns if said < 0 else row.rejected
        place = at if said < 0 else said
        if place >= len(held) or held[place].text != self.parts[at].text or held[place].flags:
            return parse_row(1, self.written(at, text).raw)
        new = (*held[:place], replace(held[place], text=text), *held[place + 1 :])
        return replace(row, turns=new) if said < 0 else replace(row, rejected=new)

    def roles(self) -> tuple[str, ...]:
        names = [part.label for part in self.parts]
        foreign = any(name in ("human", "gpt", "observation") for name in names)
        usual = _FOREIGN if foreign else _ROLES
        return tuple(dict.fromkeys((*usual, *names)))

    def does(self, what: str, at: int) -> bool:
        try:
            self.done(what, at, self.parts[at].label if what == "role" else 1)
        except BadInput:
            return False
        return True

    def done(self, what: str, at: int, argument: str | int = 0) -> tuple[Pen, int]:
        raw, part = self.raw, self.parts[at]
        match what:
            case "role":
                raw = turns.set_role(raw, at, str(argument))
            case "train":
                raw = turns.toggle_train(raw, at)
            case "after":
                raw, at = turns.add(raw, at + 1, _ANSWERS.get(part.role, "user"), ""), at + 1
            case "before":
                first = "system" if at == 0 and part.role != "system" else "user"
                raw = turns.add(raw, at, first, "")
            case "split":
                raw, at = turns.split(raw, at, int(argument)), at + 1
            case "merge":
                raw = turns.merge(raw, at)
            case "up" | "down":
                to = at + (1 if what == "down" else -1)
                raw, at = turns.move(raw, at, to), to
            case _:
                raw, at = turns.delete(raw, at), max(0, at - 1)
        return self._again(raw), at


def favourite(parts: tuple[Part, ...]) -> int:
    """What one most likely wants to write: the last answer, else the first text."""
    answers = [n for n, part in enumerate(parts) if part.role == "assistant" and part.side != "b"]
    return answers[-1] if answers else 0


def pen_of(row: Row) -> Pen | None:
    """The pen for a row; None where only the whole of it can be written, as JSON."""
    if row.error is not None and not row.turns:
        return None
    try:
        return TurnPen(row.raw)
    except BadInput:
        pen = Pen(row.raw)
        return pen if pen.parts else None
