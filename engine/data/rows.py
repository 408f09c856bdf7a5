"""One row of a dataset: its turns, or what is wrong with it.

Knows how bytes become a `Row`. Does not know files, line endings or templates; JSON itself is
read in `strict`, the shapes of rows in `shapes`, one value of a row is replaced in `splice`.

A row is never refused: what cannot be read becomes a `Row` whose `error` names the line, the key
and what was expected.
"""

from __future__ import annotations

from engine.data.row.splice import set_value
from engine.data.row.strict import BOM, WrongError, kind, load, names
from engine.data.shapes.dialect import Dialect, Object
from engine.data.shapes.row import Purpose, Reading, Row, Shape, Turn
from engine.data.shapes.table import recognise, without_nulls
from store.visible import visible

__all__ = ["Purpose", "Row", "Shape", "Turn", "oversized", "parse_row", "set_value"]

MAX_ROW_BYTES = 4 << 20
"""A longer row is shown by its head and not parsed: it would stall a screen, and no model reads
a million tokens in one example."""
HEAD_BYTES = 64 << 10
"""How much of a row that is too long is kept."""

_EXPECTED = (
    "expected `messages`, `conversations`, `prompt` and `completion`, `instruction` and `output`, "
    "`chosen` and `rejected`, `text`, or another known set of keys"
)
_NOTHING = Reading()


def parse_row(number: int, raw: bytes) -> Row:
    """Read one line (without its ending). Never raises: see `Row.error`."""
    if len(raw) > MAX_ROW_BYTES:
        return oversized(number, raw[:HEAD_BYTES], len(raw))
    dialect: Dialect | None = None
    found = _NOTHING
    error: str | None = None
    try:
        value = load(raw)
        if not isinstance(value, dict):
            raise WrongError(f"expected one JSON object, found {kind(value)}")
        present = without_nulls(value)
        dialect = recognise(present)
        if dialect is None:
            # A key that holds null still tells what the row was meant to be.
            dialect = recognise(value)
            raise _unknown(value, present, dialect)
        found = dialect.read(present)
        if found.refused:
            error = visible(f"line {number}: {found.refused}")
        if raw.startswith(BOM):
            raise WrongError(
                "begins with a byte order mark (column 1); expected `{`: save it as plain UTF-8"
            )
    except WrongError as wrong:
        error = visible(f"line {number}: {wrong}")
    if dialect is None:
        return Row(number, raw, "unknown", (), error)
    return Row(
        number,
        raw,
        dialect.shape,
        found.turns,
        error,
        found.text,
        dialect.name,
        dialect.purpose,
        found.tools,
        found.rejected,
        found.prompt_turns,
        found.label,
        found.ids,
        found.labels,
        found.segments,
    )


def _unknown(value: Object, present: Object, meant: Dialect | None) -> WrongError:
    """Why a row has no shape; `meant` is the one it would have but for keys that hold null."""
    if meant is None:
        return WrongError(f"{_EXPECTED}; found {names(value)}")
    try:
        meant.read(value)
    except WrongError as wrong:
        return wrong
    return WrongError(
        f"{next(k for k in meant.keys if k not in present)}: expected text, found null"
    )


def oversized(number: int, head: bytes, size: int) -> Row:
    """The row that stands for a line of `size` bytes which is too long to parse."""
    error = f"line {number}: {size:,} bytes long; expected at most {MAX_ROW_BYTES:,}"
    return Row(number, head, "unknown", (), error)
