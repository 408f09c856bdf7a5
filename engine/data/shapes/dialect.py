"""One way to spell a row: which keys tell it, where its turns are, what else is read.

Knows how a dialect becomes a reading. The dialects themselves are tables in the modules of their
families; which of them fits a row is decided in `table`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
from msgspec.structs import replace

from engine.data.row.strict import WrongError, kind
from engine.data.shapes.places import Place, Spot
from engine.data.shapes.row import Purpose, Reading, Shape, Turn
from engine.data.shapes.turn import tools_at

Object = Mapping[str, object]
MEDIA = ("images", "videos", "audios")
"""Keys beside the turns that hold what is no text."""


class Dialect(msgspec.Struct, frozen=True):
    """One way to spell a row.

    Attributes:
        shape: the family.
        name: the dialect in words, with its keys.
        keys: every one of them must be there (null counts as missing).
        purpose: what such a row can teach.
        places: where the turns are, in the order of the conversation.
        fits: looks at the values where the keys do not decide.
        split: where the prompt ends: as the `places` say, before the `last` turn, or where
            chosen and rejected part (`common`); empty where there is no such border.
        label: the key of a truth value about the answer.
        tools: the path to the tools; empty where there is no place for them.
        also: further keys that are read or stand for nothing that can be lost.
        whole: reads rows that are not turns in places.
        found: where the turns of such a row are.
    """

    shape: Shape
    name: str
    keys: tuple[str, ...]
    purpose: Purpose = "sft"
    places: tuple[Place, ...] = ()
    fits: Callable[[Object], bool] | None = None
    split: Literal["", "places", "last", "common"] = ""
    label: str | None = None
    tools: tuple[str, ...] = ("tools",)
    also: tuple[str, ...] = ()
    whole: Callable[[Object], Reading] | None = None
    found: Callable[[Object], list[Spot]] | None = None

    def known(self) -> frozenset[str]:
        """Every key of the row that is read."""
        read = {key for place in self.places for key in place.reads()}
        return frozenset(read | {*self.keys, *self.also, *self.tools[:1]})

    def read(self, row: Object) -> Reading:
        """Read a row of this dialect.

        Raises:
            WrongError: a value is not what it should be.
        """
        if self.whole is not None:
            return self.whole(row)
        refused: list[str] = []
        if len(self.places) == 1 and not self.split:
            turns = self.places[0].read(row, refused)
            rejected: list[Turn] = []
            prompt = 0
        else:
            turns, rejected, prompt = self._sides(row, refused)
        tools: tuple[Mapping[str, object], ...] = ()
        label = None
        if len(row) > 1:
            if self.tools and self.tools[0] in row:
                tools = tools_at(row, self.tools)
            if self.label:
                label = _truth(row.get(self.label), self.label)
            for key in MEDIA:
                if row.get(key) and key not in self.keys:
                    refused.append(f"{key}: expected none, as only text is trained on")
        return Reading(
            turns=tuple(turns),
            tools=tools,
            rejected=tuple(rejected),
            prompt_turns=prompt,
            label=label,
            refused=refused[0] if refused else None,
        )

    def spots(self, row: Object) -> list[Spot]:
        """Where each turn is: those of `Reading.turns`, then those of `Reading.rejected`.

        Empty where they cannot be told. Only for a row that `read` accepts.
        """
        if self.found is not None:
            return self.found(row)
        all_of = [spot for place in self.places for spot in place.spots(row)]
        spots = [spot for spot in all_of if spot.part != "rejected"]
        rejected = [spot for spot in all_of if spot.part == "rejected"]
        if self.split == "common":
            reading = self.read(row)
            shared = len(rejected) - len(reading.rejected)
            lead = reading.prompt_turns - shared
            for number, twin in enumerate(rejected[:shared], lead):
                spots[number] = replace(spots[number], twin=twin.path)
            rejected = rejected[shared:]
        if self.split:
            prompt = self.read(row).prompt_turns
            spots = [
                replace(s, part="prompt" if n < prompt else "answer") for n, s in enumerate(spots)
            ]
        return spots + rejected

    def _sides(self, row: Object, refused: list[str]) -> tuple[list[Turn], list[Turn], int]:
        """The turns, the rejected answer's turns, and how many turns are the prompt."""
        turns: list[Turn] = []
        rejected: list[Turn] = []
        prompt = 0
        for place in self.places:
            found = place.read(row, refused)
            if place.part == "rejected":
                rejected += found
                continue
            turns += found
            prompt += len(found) if place.part == "prompt" else 0
        if self.split == "last":
            prompt = len(turns) - 1
        elif self.split == "common":
            # A system text beside the dialogues belongs to the prompt of both.
            lead = int(turns[0].role == "system" != rejected[0].role)
            shared = shared_turns(turns[lead:], rejected)
            prompt = lead + shared
            rejected = rejected[shared:]
        return turns, rejected, prompt if self.split else 0


def shared_turns(chosen: list[Turn], rejected: list[Turn]) -> int:
    """How many turns two whole dialogues begin with alike; the last of each is an answer."""
    most = min(len(chosen), len(rejected)) - 1
    return next((n for n in range(most) if chosen[n] != rejected[n]), max(most, 0))


def _truth(value: object, key: str) -> bool:
    """A label: true or false, also as 1, 0 or (from CSV) as text."""
    if isinstance(value, bool):
        return value
    if value in (0, 1):
        return value == 1
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise WrongError(f"{key}: expected true or false, found {kind(value)}")


def first_of(row: Object, key: str) -> Object:
    """The first object in the list at `key`; empty if there is no such thing."""
    value = row.get(key)
    item = value[0] if isinstance(value, list) and value else None
    return item if isinstance(item, dict) else {}
