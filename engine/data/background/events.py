"""What a look through all rows says while it goes on and when it ends.

Records only, which travel between processes. Does not know how they come about.
"""

from __future__ import annotations

from array import array
from typing import Any

import msgspec

from store import errors
from store.errors import WorkbenchError

_ERRORS: dict[str, type[WorkbenchError]] = {
    kind.__name__: kind
    for kind in (
        errors.BadInput,
        errors.NotFound,
        errors.Conflict,
        errors.NoSpace,
        errors.WorkerDied,
        errors.Unsupported,
    )
}


class Event(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Something a scan says. `progress` is the share of the rows that were looked at, 0 to 1."""

    progress: float = 0.0


class Hits(Event, frozen=True, tag=True, kw_only=True):
    """Rows that were found since the last of these."""

    rows: array  # type: ignore[type-arg]  # of unsigned 64 bit; msgspec decodes no generic here


class Value(msgspec.Struct, frozen=True, array_like=True):
    """One value of a field: how it is shown, how often it is there, and its share of the rows."""

    value: str
    count: int
    share: float


class Table(Event, frozen=True, tag=True, kw_only=True):
    """Values by how often they are there, as far as the rows were looked at.

    Attributes:
        values: the most frequent, at most as many as were asked for.
        rows: how many rows were counted; a row with several values counts for each.
        distinct: how many different values there are (where not `exact`: at least).
        exact: False where there were too many values to remember all of them: then a count is
            too small by at most `lost`.
    """

    values: tuple[Value, ...]
    rows: int
    distinct: int
    exact: bool = True
    lost: int = 0


class Report(Event, frozen=True, tag=True, kw_only=True):
    """Anything else, as plain values; `kind` says what."""

    kind: str
    body: Any = None


class Done(Event, frozen=True, tag=True, kw_only=True):
    """The scan has ended. `moment` is that of the document it saw, for `Dataset.shift`."""

    progress: float = 1.0
    moment: int = 0
    rows: int = 0


class Failed(Event, frozen=True, tag=True, kw_only=True):
    """The scan has ended in an error: `error()` is to be raised, or shown."""

    kind: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: WorkbenchError) -> Failed:
        """An error as it travels: as what it is, or the nearest kind that is known everywhere."""
        kind = next((k.__name__ for k in type(error).__mro__ if k.__name__ in _ERRORS), "")
        return cls(kind=kind, message=error.message, hint=error.hint)

    def error(self) -> WorkbenchError:
        """The error as if it had been met here."""
        found = _ERRORS.get(self.kind, WorkbenchError)
        return found(self.message, self.hint)


AnyEvent = Hits | Table | Report | Done | Failed


HEAD = 4
"""Bytes that say how long a frame is, lowest first."""


def pack(value: object) -> bytes:
    """A value as a frame: its length, then MessagePack."""
    body = msgspec.msgpack.encode(value, enc_hook=_packed)
    return len(body).to_bytes(HEAD, "little") + body


def _packed(value: object) -> object:
    if isinstance(value, array):
        return value.tobytes()
    raise NotImplementedError(type(value).__name__)


def _unpacked(kind: type, value: object) -> object:
    if kind is array and isinstance(value, bytes):
        rows = array("Q")
        rows.frombytes(value)
        return rows
    raise NotImplementedError(kind.__name__)


DECODER = msgspec.msgpack.Decoder(AnyEvent, dec_hook=_unpacked)
