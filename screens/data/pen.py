"""What of a row can be written: its turns, or, where it has none, its texts.

A pen is a row as it would be kept, and what may be done to it; doing it makes another pen. The
bytes are changed by the engine. Knows rows. Knows no widget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.data.rows import parse_row
from screens.data.fields import WHOLE, fields
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.data.rows import Row


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a row: a turn with its role, or a field with its place.

    Attributes:
        label: the role as the row spells it, or the dotted place.
        role: the role it means; empty for a field.
        text: what can be written.
        train: what the row says about training it; None for nothing.
        side: `a` or `b` for the answers of a preference.
        turn: the place of the turn in `Row.turns` (or `rejected` on side b); -1 for a field.
    """

    label: str
    text: str
    role: str = ""
    train: bool | None = None
    side: str = ""
    turn: int = -1


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
        from engine.data.splice import set_value

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


def favourite(parts: tuple[Part, ...]) -> int:
    """What one most likely wants to write: the last answer, else the first text."""
    answers = [n for n, part in enumerate(parts) if part.role == "assistant" and part.side != "b"]
    return answers[-1] if answers else 0


Make = Callable[[bytes], Pen]


def pen_of(row: Row) -> Pen | None:
    """The pen for a row; None where only the whole of it can be written, as JSON."""
    if row.error is not None and not row.turns:
        return None
    pen = Pen(row.raw)
    return pen if pen.parts else None
