"""Find and replace inside the text values of rows; every other byte stays as it is.

Knows where texts lie in a line of JSON and how they are spelled. Does not know how rows are kept:
what is planned here is done by `Dataset.change`, in one step of undo. Keys, numbers and the marks
of JSON are never touched, so a row stays JSON whatever is replaced by what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec

from engine.data.dataset import Dataset, Replace
from engine.data.filter import Context, looks
from engine.data.find.pattern import Pattern, template
from engine.data.row.strict import BOM, WrongError, load
from store.errors import BadInput

_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_UNIT = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\u(?!00[0-7])")
_MOST = 100_000
"""Matches in one text that are replaced at most: a guard against patterns that match anywhere."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One text that changes.

    Attributes:
        path: where it is, as `messages.1.content`.
        before, after: the whole text, decoded.
        old, new: character ranges of what is replaced in `before`, and of what came for it in
            `after`, pair by pair.
    """

    path: str
    before: str
    after: str
    old: tuple[tuple[int, int], ...]
    new: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One row that would change, in full: `raw` is what it becomes."""

    row: int
    edits: tuple[Edit, ...]
    raw: bytes

    @property
    def before(self) -> str:
        """The texts that change, as they are."""
        return "\n".join(edit.before for edit in self.edits)

    @property
    def after(self) -> str:
        """The same texts, as they would be."""
        return "\n".join(edit.after for edit in self.edits)

    @property
    def count(self) -> int:
        """How many places are replaced."""
        return sum(len(edit.old) for edit in self.edits)

    @property
    def change(self) -> Replace:
        """What `Dataset.change` is to do."""
        return Replace(self.row, self.raw)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that has the words and cannot be changed, and why."""

    row: int
    why: str


def plan(
    data: Dataset,
    pattern: Pattern,
    replacement: str,
    rows: Collection[int] | None = None,
    fields: Sequence[str] | None = None,
    *,
    skipped: list[Skipped] | None = None,
) -> Iterator[Plan]:
    """What would change, row by row; nothing is changed.

    Args:
        replacement: words; for a regular expression `$1` and `${name}` stand for groups.
        rows: look at these only (a set, or an array in order).
        fields: and at these paths only; `*` stands for any part of one, as messages.*.content.
        skipped: gets the rows that have the words but are no JSON.
    Raises:
        BadInput: the replacement names a group that the pattern does not have.
    """
    maker = Maker(pattern, replacement, fields)
    wanted = None if rows is None else rows if isinstance(rows, set | frozenset) else set(rows)
    for look, _ in looks(data, Context()):
        if wanted is not None and look.number not in wanted:
            continue
        if look.size > len(look.raw):
            if skipped is not None and pattern.found(look.raw):
                skipped.append(Skipped(look.number, look.row.error or "too long to change"))
            continue
        try:
            planned = maker.plan(look.number, look.raw)
        except WrongError as wrong:
            if skipped is not None and pattern.found(look.raw):
                skipped.append(Skipped(look.number, str(wrong)))
            continue
        if planned is not None:
            yield planned


class Maker:
    """Plans the replacement for one row at a time."""

    def __init__(
        self, pattern: Pattern, replacement: str, fields: Sequence[str] | None = None
    ) -> None:
        try:
            replacement.encode()
        except UnicodeEncodeError:
            raise BadInput("replace: not valid Unicode text", "type it again") from None
        self._pattern = pattern
        self._fields = None if fields is None else tuple(field.lstrip(".") for field in fields)
        self._pieces = template(pattern, replacement)

    def plan(self, row: int, raw: bytes) -> Plan | None:
        """What this row would become; None where nothing changes.

        Raises:
            WrongError: the row is no JSON that every reader reads alike.
        """
        if not self._anywhere(raw):
            return None
        load(raw)
        found = [edit for edit in self._edits(raw) if edit[2].before != edit[2].after]
        if not found:
            return None
        text, out, at = raw.decode(), [], 0
        escape = text.isascii() and _ESCAPED.search(text) is not None
        for start, end, edit in found:
            out += [text[at:start], _respelled(text[start:end], edit, escape)]
            at = end
        return Plan(row, tuple(edit for _, _, edit in found), "".join([*out, text[at:]]).encode())

    def _anywhere(self, raw: bytes) -> bool:
        """A quick look: does any text of the row have it? True also where that is not known."""
        try:
            todo: list[object] = [msgspec.json.decode(raw)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            return True
        match = self._pattern.in_text
        while todo:
            value = todo.pop()
            if isinstance(value, str):
                text = value.encode("utf-8", "surrogatepass")
                if match(text, 0, len(text))[0] >= 0:
                    return True
            elif isinstance(value, dict):
                todo += value.values()
            elif isinstance(value, list):
                todo += value
        return False

    def _edits(self, raw: bytes) -> Iterator[tuple[int, int, Edit]]:
        try:
            text = raw.removeprefix(BOM).decode()
        except UnicodeDecodeError as wrong:
            raise WrongError(f"not UTF-8 at byte {wrong.start + 1}") from None
        shift = raw.startswith(BOM)
        for start, end, path in _texts(text):
            if self._fields is not None and not any(fnmatchcase(path, f) for f in self._fields):
                continue
            try:
                value = json.loads(text[start:end], strict=False)
            except json.JSONDecodeError as wrong:
                raise WrongError(f"not JSON ({wrong.msg})") from None
            edit = self._edit(path, value)
            if edit is not None:
                yield start + shift, end + shift, edit

    def _edit(self, path: str, value: str) -> Edit | None:
        """One text with everything replaced; None where there is nothing to."""
        old, new, out = [], [], []
        at = made = 0
        for match in self._pattern.compiled.finditer(value):
            start, end = match.span()
            put = "".join(
                piece if isinstance(piece, str) else (match.group(piece) or "")
                for piece in self._pieces
            )
            made += start - at
            old.append((start, end))
            new.append((made, made + len(put)))
            made += len(put)
            out += [value[at:start], put]
            at = end
            if len(old) >= _MOST:
                break
        if not old:
            return None
        out.append(value[at:])
        return Edit(path, value, "".join(out), tuple(old), tuple(new))


def _texts(text: str) -> Iterator[tuple[int, int, str]]:
    """Every text value of a line as (start, end, path), quotes included; keys are none."""
    stack: list[list[str | int]] = []
    """For each open bracket: [kind, key or index]; an object waits for a key where that is -1."""
    for mark in _MARK.finditer(text):
        sign = mark[0]
        top = stack[-1] if stack else None
        if sign in "{[":
            stack.append([sign, -1 if sign == "{" else 0])
        elif sign in "}]":
            if stack:
                stack.pop()
        elif sign == ",":
            if top is not None:
                top[1] = -1 if top[0] == "{" else int(top[1]) + 1
        elif sign[0] == '"':
            if top is not None and top[0] == "{" and top[1] == -1:
                top[1] = sign[1:-1]
            else:
                yield mark.start(), mark.end(), ".".join(str(key) for _, key in stack)


def _respelled(literal: str, edit: Edit, escape: bool) -> str:
    """The new text as JSON, keeping the old spelling of all that is not replaced."""
    units = _UNIT.findall(literal[1:-1])
    # A pair of escapes is one character, as is every other unit.
    out, at = ['"'], 0
    for (start, end), (begin, close) in zip(edit.old, edit.new, strict=True):
        out += units[at:start]
        out.append(json.dumps(edit.after[begin:close], ensure_ascii=escape)[1:-1])
        at = end
    return "".join([*out, *units[at:], '"'])
