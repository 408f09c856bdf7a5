"""Where the turns of a row are: in a list, in pairs, in fields of their own.

Every place can be read (into turns) and told (which JSON value each of these turns is), so that
what is shown and what is edited cannot differ. Does not know which places a dialect has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from engine.data.row.strict import WrongError, kind
from engine.data.shapes.row import Turn
from engine.data.shapes.turn import PLAIN, keys_of, read_turn, text_at

Path = tuple[str | int, ...]
Part = Literal["prompt", "answer", "rejected"]


class Spot(msgspec.Struct, frozen=True):
    """Where one turn stands in the row.

    Attributes:
        path: the object of a turn in a list, else the value (the first of `paths` if joined).
        part: of which part of the row it is.
        held: `list` for an element of a list of turns, `object` for a lone turn object,
            `text` for a text, `joined` for one that several keys hold.
        role: the role that the place itself gives; of no meaning for `list` and `object`.
        paths: for `joined`, every value that is there.
        twin: where the same turn is once more, in the other of two whole dialogues.
    """

    path: Path
    part: Part
    held: Literal["list", "object", "text", "joined"]
    role: str = ""
    paths: tuple[Path, ...] = ()
    twin: Path | None = None


class Place(Protocol):
    """Somewhere in a row where turns are."""

    @property
    def part(self) -> Part: ...

    def read(self, row: Mapping[str, object], refused: list[str], /) -> list[Turn]:
        """Its turns; raises WrongError."""

    def spots(self, row: Mapping[str, object]) -> list[Spot]:
        """Where each of these turns is; only for a row that `read` accepts."""

    def reads(self) -> tuple[str, ...]:
        """The keys of the row that it reads."""


def dig(row: Mapping[str, object], path: tuple[str, ...]) -> object:
    """The value at a path of keys.

    Raises:
        WrongError: there is none, or something on the way is no object.
    """
    value: object = row
    for depth, key in enumerate(path):
        if not isinstance(value, dict):
            raise WrongError(f"{'.'.join(path[:depth])}: expected an object, found {kind(value)}")
        if key not in value:
            raise WrongError(f"{'.'.join(path[: depth + 1])}: missing")
        value = value[key]
    return value


class Field(msgspec.Struct, frozen=True):
    """A text with a role of its own; an `optional` one may be missing or empty."""

    key: str
    role: str
    part: Part = "prompt"
    optional: bool = False
    train: bool | None = None

    def read(self, row: Mapping[str, object], _refused: list[str], /) -> list[Turn]:
        if self.optional and not row.get(self.key):
            return []
        return [Turn(self.role, text_at(row, self.key, ""), self.train)]

    def spots(self, row: Mapping[str, object]) -> list[Spot]:
        if self.optional and not row.get(self.key):
            return []
        return [Spot((self.key,), self.part, "text", self.role)]

    def reads(self) -> tuple[str, ...]:
        return (self.key,)


class System(msgspec.Struct, frozen=True):
    """The system text beside turns; where these begin with a system turn it stands for nothing."""

    beside: str
    key: str = "system"
    part: Part = "prompt"

    def read(self, row: Mapping[str, object], _refused: list[str], /) -> list[Turn]:
        there = _system_beside(row, self.key, row.get(self.beside))
        return [Turn("system", text_at(row, self.key, ""))] if there else []

    def spots(self, row: Mapping[str, object]) -> list[Spot]:
        there = _system_beside(row, self.key, row.get(self.beside))
        return [Spot((self.key,), self.part, "text", "system")] if there else []

    def reads(self) -> tuple[str, ...]:
        return (self.key,)


class Joined(msgspec.Struct, frozen=True):
    """Several texts that make one turn, a line each; the first must be there."""

    names: tuple[str, ...]
    role: str = "user"
    part: Part = "prompt"

    def read(self, row: Mapping[str, object], _refused: list[str], /) -> list[Turn]:
        first, *others = self.names
        texts = [text_at(row, first, "")]
        texts += [text_at(row, key, "") for key in others if row.get(key)]
        return [Turn(self.role, "\n".join(texts))]

    def spots(self, row: Mapping[str, object]) -> list[Spot]:
        paths = tuple((key,) for key in self.names if key == self.names[0] or row.get(key))
        return [Spot(paths[0], self.part, "joined", self.role, paths)]

    def reads(self) -> tuple[str, ...]:
        return self.names


class Turns(msgspec.Struct, frozen=True):
    """A list of turn objects, at a path of keys; perhaps with a `system` text beside it."""

    path: tuple[str, ...]
    part: Part = "prompt"
    train: bool | None = None
    system: str = ""

    def read(self, row: Mapping[str, object], refused: list[str], /) -> list[Turn]:
        value = row.get(self.path[0]) if len(self.path) == 1 else dig(row, self.path)
        where = ".".join(self.path)
        if not isinstance(value, list):
            raise WrongError(f"{where}: expected a list of turns, found {kind(value)}")
        if not value:
            raise WrongError(f"{where}: expected at least one turn, found an empty list")
        turns = []
        if self.system and self.system in row and _system_beside(row, self.system, value):
            turns.append(Turn("system", text_at(row, self.system, "")))
        for index, item in enumerate(value):
            # The most common turns by far are read here, without a call.
            if type(item) is dict and len(item) == 2:
                role = item.get("role") or item.get("from")
                text = item.get("content")
                if text is None:
                    text = item.get("value")
                if type(role) is str and type(text) is str and role in PLAIN:
                    turns.append(Turn(PLAIN[role], text))
                    continue
            turns.append(read_turn(item, f"{where}.{index}", refused))
        return turns if self.train is None else [_learned(turn, self.train) for turn in turns]

    def spots(self, row: Mapping[str, object]) -> list[Spot]:
        value = dig(row, self.path)
        assert isinstance(value, list)
        spots = []
        if self.system and _system_beside(row, self.system, value):
            spots.append(Spot((self.system,), self.part, "text", "system"))
        return spots + [Spot((*self.path, n), self.part, "list") for n in range(len(value))]

    def reads(self) -> tuple[str, ...]:
        return (self.path[0], self.system) if self.system else self.path[:1]


class One(msgspec.Struct, frozen=True):
    """A text, one turn object, or a list of them: whichever the row has."""

    key: str
    role: str
    part: Part = "prompt"
    train: bool | None = None

    def read(self, row: Mapping[str, object], refused: list[str], /) -> list[Turn]:
        value = row.get(self.key)
        if isinstance(value, str):
            return [Turn(self.role, value, self.train)]
        if isinstance(value, list):
            return Turns((self.key,), self.part, self.train).read(row, refused)
        if isinstance(value, dict):
            return [read_turn(value, self.key, refused)]
        raise WrongError(f"{self.key}: expected text or a list of turns, found {kind(value)}")

    def spots(self, row: Mapping[str, object]) -> list[Spot]:
        value = row.get(self.key)
        if isinstance(value, list):
            return Turns((self.key,), self.part).spots(row)
        held: Literal["object", "text"] = "object" if isinstance(value, dict) else "text"
        return [Spot((self.key,), self.part, held, self.role)]

    def reads(self) -> tuple[str, ...]:
        return (self.key,)


class Pairs(msgspec.Struct, frozen=True):
    """A list of exchanges: [question, answer], or objects with a key for each side."""

    key: str
    sides: tuple[str | int, str | int] = (0, 1)
    part: Part = "prompt"
    optional: bool = True

    def read(self, row: Mapping[str, object], _refused: list[str], /) -> list[Turn]:
        pairs = row.get(self.key) or []
        keyed = isinstance(self.sides[0], str)
        words = f"`{self.sides[0]}` and `{self.sides[1]}`" if keyed else "[question, answer]"
        if not isinstance(pairs, list):
            raise WrongError(f"{self.key}: expected a list of {words}, found {kind(pairs)}")
        if not pairs and not self.optional:
            raise WrongError(f"{self.key}: expected at least one exchange, found an empty list")
        for number, pair in enumerate(pairs):
            if not (isinstance(pair, dict) if keyed else isinstance(pair, list) and len(pair) == 2):
                raise WrongError(f"{self.key}.{number}: expected {words}, found {kind(pair)}")
        turns = []
        for _, number, side, role in self._there(pairs):
            text = pairs[number][side]
            if not isinstance(text, str):
                where = f"{self.key}.{number}.{side}"
                raise WrongError(f"{where}: expected text, found {kind(text)}")
            turns.append(Turn(role, text))
        return turns

    def spots(self, row: Mapping[str, object]) -> list[Spot]:
        pairs = row.get(self.key) or []
        assert isinstance(pairs, list)
        return [Spot(path, self.part, "text", role) for path, _, _, role in self._there(pairs)]

    def reads(self) -> tuple[str, ...]:
        return (self.key,)

    def _there(self, pairs: list[object]) -> list[tuple[Path, int, str | int, str]]:
        found: list[tuple[Path, int, str | int, str]] = []
        for number, pair in enumerate(pairs):
            for side, role in zip(self.sides, ("user", "assistant"), strict=True):
                if not isinstance(pair, dict) or side in pair:
                    found.append(((self.key, number, side), number, side, role))
        return found


def _system_beside(row: Mapping[str, object], key: str, turns: object) -> bool:
    """Is there a system text at `key`, and none among the turns, which would stand for it?"""
    if not row.get(key):
        return False
    first = turns[0] if isinstance(turns, list) and turns else None
    return not (isinstance(first, dict) and first.get(keys_of(first)[0]) == "system")


def _learned(turn: Turn, answer: bool) -> Turn:
    """TRL's meaning: the completion is learned, nothing of the prompt is."""
    train = answer and turn.role == "assistant" and turn.train is not False
    return Turn(turn.role, turn.text, train, turn.extra, turn.flags)
