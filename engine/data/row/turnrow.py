"""A row whose turns are found on its text: where each of them is, and how to rewrite it there.

Knows dialects and boxes. Does not know which edits there are, or what is written elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from engine.data.row.box import Box, edit, find, open_box
from engine.data.row.splice import escapes
from engine.data.row.strict import BOM, WrongError, load
from engine.data.rows import Turn
from engine.data.shapes.dialect import Dialect
from engine.data.shapes.places import Path, Spot
from engine.data.shapes.table import recognise, without_nulls
from store.errors import BadInput
from store.visible import visible

CONVERT = "convert the rows: workbench data convert FILE --to messages"


class TurnRow(msgspec.Struct, frozen=True):
    """A row whose turns are found."""

    text: str
    value: Mapping[str, object]
    dialect: Dialect
    turns: tuple[Turn, ...]
    spots: list[Spot]

    @property
    def ascii_only(self) -> bool:
        return escapes(self.text)

    def spot(self, index: int) -> Spot:
        if 0 <= index < len(self.spots):
            return self.spots[index]
        raise BadInput(
            f"there is no turn {index}; the row has {len(self.spots)}",
            f"name a turn from 0 to {len(self.spots) - 1}",
        )

    def listed(self, index: int, doing: str) -> Spot:
        spot = self.spot(index)
        if spot.held != "list":
            raise self.no_place(doing)
        return spot

    def no_place(self, doing: str) -> BadInput:
        return BadInput(
            f"cannot {doing}: a row of {self.dialect.name} has no place for it", CONVERT
        )

    def box(self, spot: Spot) -> Box | None:
        """The turn object at a spot; None where the turn is a bare text."""
        if spot.held not in ("list", "object"):
            return None
        return open_box(find(self.text, spot.path))

    def changed(self, spot: Spot, change: Callable[[Box], None]) -> bytes:
        """The row with the turn object at `spot` changed, its twin too."""

        def rewritten(value: str) -> str:
            box = open_box(value)
            change(box)
            return box.text()

        return self.at([path for path in (spot.path, spot.twin) if path is not None], rewritten)

    def relisted(self, spot: Spot, change: Callable[[Box, int], None]) -> bytes:
        """The row with the list that holds the turn at `spot` changed, its twin's too."""
        text = self.text
        for path in (spot.path, spot.twin):
            if path is not None:
                place = path[-1]
                assert isinstance(place, int)

                def rewritten(value: str, place: int = place) -> str:
                    box = open_box(value)
                    change(box, place)
                    return box.text()

                text = edit(text, path[:-1], rewritten)
        return text.encode()

    def at(self, paths: list[Path], change: Callable[[str], str]) -> bytes:
        text = self.text
        for path in paths:
            text = edit(text, path, change)
        return text.encode()


def open_turns(raw: bytes) -> TurnRow:
    """Find the turns of a row.

    Raises:
        BadInput: it cannot be read, or has no turns that can be told apart.
    """
    try:
        value = load(raw.removeprefix(BOM))
        present = without_nulls(value) if isinstance(value, dict) else {}
        dialect = recognise(present)
        if dialect is None:
            raise WrongError("no known shape of turns")
        reading = dialect.read(present)
    except WrongError as wrong:
        raise BadInput(
            visible(f"the row cannot be edited as turns: {wrong}"), "repair it as raw JSON first"
        ) from None
    spots = dialect.spots(present)
    found = (*reading.turns, *reading.rejected)
    if not spots or len(spots) != len(found):
        raise BadInput(
            f"a row of {dialect.name} has no turns that can be edited", "edit it as raw JSON"
        )
    return TurnRow(raw.removeprefix(BOM).decode(), present, dialect, found, spots)
