"""What a filter can ask of a row, as a table, and how each answer is found.

Knows fields, what they cost and what they need from outside. Does not know expressions. Every
field is a list of values: a row fits if one of them does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from engine.data.rows import HEAD_BYTES, Row, oversized, parse_row
from engine.data.shapes.turn import ROLES
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.data.filter.context import Context

Value = str | int | float | bool | None
Kind = Literal["number", "text", "flag", "names", "turns", "path"]
Need = Literal["model", "findings", "notes", "part", "edits"]
Values = Callable[["Look"], list[Value]]
_DECODE = msgspec.json.Decoder().decode
_UNSET = object()


class Look:
    """One row while it is asked about; each answer is found once, and only when it is asked for."""

    __slots__ = ("_row", "_tokens", "_value", "context", "number", "raw", "size")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.see(0, b"", 0)

    def see(self, number: int, raw: bytes, size: int) -> None:
        """Turn to a row; `raw` is its head only where it is longer than can be parsed."""
        self.number, self.raw, self.size = number, raw, size
        self._value: object = _UNSET
        self._row: Row | None = None
        self._tokens: int | None = None

    @property
    def value(self) -> object:
        """The row as JSON; None where it is none."""
        if self._value is _UNSET:
            try:
                self._value = _DECODE(self.raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
                self._value = None
        return self._value

    @property
    def row(self) -> Row:
        """The row as turns."""
        if self._row is None:
            if self.size > len(self.raw):
                self._row = oversized(self.number, self.raw[:HEAD_BYTES], self.size)
            else:
                self._row = parse_row(self.number, self.raw)
        return self._row

    @property
    def tokens(self) -> int:
        """How many tokens the model sees; -1 for a row that it cannot see."""
        if self._tokens is None:
            self._tokens = self.context.tokens(self.row)
        return self._tokens


@dataclass(frozen=True, slots=True)
class Field:
    """Something a row has.

    Attributes:
        name: as it is written; a path of keys for kind `path`.
        kind: what its values are, which decides what may be compared with them. `turns` is both
            the number of turns of a role and their texts.
        cost: what finding it costs, roughly in microseconds a row: cheap ones are asked first.
        values: finds them.
        needs: what must be known from outside for it.
        about: what it is, in words.
    """

    name: str
    kind: Kind
    cost: float
    values: Values
    needs: frozenset[Need] = frozenset()
    about: str = ""


def _tokens(look: Look) -> list[Value]:
    found = look.tokens
    return [] if found < 0 else [found]


def _texts(row: Row) -> Iterator[str]:
    if row.text:
        yield row.text
    for turn in (*row.turns, *row.rejected):
        yield turn.text
    for text, _ in row.segments:
        yield text


def _chars(look: Look) -> list[Value]:
    return [sum(map(len, _texts(look.row)))]


def _status(look: Look) -> str:
    return look.context.status(look.number)


def _part(look: Look) -> list[Value]:
    return [look.context.part(look.row)]


_TABLE: tuple[Field, ...] = (
    Field("row", "number", 0.1, lambda at: [at.number], about="line number"),
    Field("bytes", "number", 0.1, lambda at: [at.size], about="length of the line in bytes"),
    Field(
        "raw", "text", 1, lambda at: [at.raw.decode("utf-8", "replace")], about="the line as it is"
    ),
    Field("turns", "number", 6, lambda at: [len(at.row.turns)], about="number of turns"),
    Field("chars", "number", 6, _chars, about="characters of all turns; chars:ROLE of one role's"),
    Field(
        "tokens",
        "number",
        900,
        _tokens,
        frozenset({"model"}),
        "what the model sees of it, in tokens (slow: asked last)",
    ),
    Field("text", "text", 6, lambda at: list(_texts(at.row)), about="the text of any turn"),
    Field(
        "roles",
        "text",
        6,
        lambda at: [" ".join(turn.role for turn in at.row.turns)],
        about="the roles in order, as `user assistant`",
    ),
    Field("shape", "names", 6, lambda at: [at.row.shape], about="messages, sharegpt, alpaca…"),
    Field(
        "dialect", "text", 6, lambda at: [at.row.dialect], about="the exact variant of the shape"
    ),
    Field("purpose", "names", 6, lambda at: [at.row.purpose], about="sft, text, preference…"),
    Field("error", "text", 6, lambda at: [at.row.error], about="what is wrong with a bad row"),
    Field("bad", "flag", 6, lambda at: [at.row.error is not None], about="it cannot be trained on"),
    Field(
        "edited",
        "flag",
        2,
        lambda at: [_status(at) != "same"],
        frozenset({"edits"}),
        "edited or added, not saved",
    ),
    Field(
        "added",
        "flag",
        2,
        lambda at: [_status(at) == "added"],
        frozenset({"edits"}),
        "new, not saved",
    ),
    Field(
        "tag",
        "names",
        3,
        lambda at: list(at.context.noted(at.raw).tags),
        frozenset({"notes"}),
        "tag = NAME, or tag:NAME; alone: any",
    ),
    Field(
        "note",
        "text",
        3,
        lambda at: [at.context.noted(at.raw).note],
        frozenset({"notes"}),
        "your note on it; alone: any",
    ),
    Field(
        "finding",
        "names",
        1,
        lambda at: list(at.context.found(at.number)),
        frozenset({"findings"}),
        "finding = KIND, or finding:KIND; alone: any",
    ),
    Field("part", "names", 12, _part, frozenset({"part"}), "train, eval or test, as split"),
)
FIELDS: dict[str, Field] = {known.name: known for known in _TABLE}
ROLE_NAMES = tuple(dict.fromkeys(ROLES.values()))
PATHS = (
    "messages.0.content  the value of keys (turns count from 0, -1 is the last, * is any); "
    'put a dot before a name that is taken (.text), quotes around odd keys (meta."a b")',
    "len(PATH)           characters of a text, items of a list, keys of an object",
    "system user assistant tool   the number of such turns, or their texts",
)


def field(text: str) -> Field:
    """The field of a name, a role, `name:detail`, `len(PATH)` or a path of keys.

    Raises:
        BadInput: it is none of these.
    """
    text = text.strip()
    if text.startswith("len(") and text.endswith(")"):
        return _length(text[4:-1].strip())
    known = FIELDS.get(text)
    if known is not None:
        return known
    if text in ROLE_NAMES:
        return _turns(text)
    head, colon, detail = text.partition(":")
    if (colon and detail and head in FIELDS) or (head == "turns" and colon):
        return _detailed(head, detail)
    return _path(text)


def _detailed(head: str, detail: str) -> Field:
    base = FIELDS[head]
    if head in ("chars", "turns"):
        if detail not in ROLE_NAMES:
            raise BadInput(
                f"filter: `{head}:{detail}`: expected one of {', '.join(ROLE_NAMES)} after `:`",
                f"as {head}:assistant",
            )
        if head == "turns":
            return _turns(detail)

        def chars(look: Look) -> list[Value]:
            return [sum(len(turn.text) for turn in look.row.turns if turn.role == detail)]

        return Field(f"chars:{detail}", "number", 6, chars)
    if base.kind != "names":
        raise BadInput(
            f"filter: `{head}` has no kinds to choose from by `:`", f"compare it: {head} = …"
        )

    def has(look: Look) -> list[Value]:
        return [detail in base.values(look)]

    return Field(f"{head}:{detail}", "flag", base.cost, has, base.needs)


def _turns(role: str) -> Field:
    def values(look: Look) -> list[Value]:
        return [turn.text for turn in look.row.turns if turn.role == role]

    return Field(role, "turns", 6, values)


def keys_of(path: str) -> tuple[str, ...]:
    """A path taken apart at its dots, where they are not in quotes.

    Raises:
        BadInput: it has an empty part, or a quote without an end.
    """
    keys: list[str] = []
    at = 1 if path.startswith(".") else 0
    while True:
        if path[at : at + 1] == '"':
            end = at + 1
            while end < len(path) and path[end] != '"':
                end += 2 if path[end] == "\\" else 1
            try:
                keys.append(msgspec.json.decode(path[at : end + 1], type=str))
            except msgspec.DecodeError:
                raise _bad_path(path) from None
            end += 1
        else:
            end = path.find(".", at)
            end = len(path) if end < 0 else end
            keys.append(path[at:end])
        if (end < len(path) and path[end] != ".") or not keys[-1]:
            raise _bad_path(path)
        if end >= len(path):
            return tuple(keys)
        at = end + 1


def _bad_path(path: str) -> BadInput:
    return BadInput(
        f"filter: `{path[:60]}` is no field and no path of keys",
        'write keys with dots between, as messages.0.content; quotes around odd ones, "a b"',
    )


def below(value: object, keys: tuple[str, ...]) -> list[object]:
    """The values at a path below a JSON value, in order; none where it leads nowhere."""
    found = [value]
    for key in keys:
        deeper: list[object] = []
        for item in found:
            if isinstance(item, dict):
                if key == "*":
                    deeper += item.values()
                elif key in item:
                    deeper.append(item[key])
            elif isinstance(item, list):
                if key == "*":
                    deeper += item
                elif key.lstrip("-").isdecimal() and -len(item) <= int(key) < len(item):
                    deeper.append(item[int(key)])
        found = deeper
        if not found:
            break
    return found


def _path(path: str) -> Field:
    keys = keys_of(path)

    def values(look: Look) -> list[Value]:
        return [_leaf(value) for value in below(look.value, keys)]

    return Field(path, "path", 2, values)


def _leaf(value: object) -> Value:
    if value is None or isinstance(value, str | int | float):
        return value
    return msgspec.json.encode(value).decode()


def _length(path: str) -> Field:
    keys = keys_of(path)

    def values(look: Look) -> list[Value]:
        found = below(look.value, keys)
        return [len(value) for value in found if isinstance(value, str | list | dict)]

    return Field(f"len({path})", "number", 2, values)
