"""Lists of turns: OpenAI chat, ShareGPT and its relatives, Swift's exchanges.

Knows under which keys the lists are found. Does not know how one turn is spelt (`turn`).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from engine.data.shapes.dialect import Dialect, Object, first_of
from engine.data.shapes.places import Pairs, System, Turns
from engine.data.shapes.turn import keys_of

LISTS = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns")
SWAPPED = (("role", "value"), ("from", "content"), ("role", "text"), ("from", "text"))
ALSO = ("parallel_tool_calls",)


def _spelt(key: str, role: str, text: str) -> Callable[[Object], bool]:
    def fits(row: Object) -> bool:
        first = first_of(row, key)
        return role in first and keys_of(first) == (role, text)

    return fits


def _exchanges(key: str) -> Callable[[Object], bool]:
    def fits(row: Object) -> bool:
        first = first_of(row, key)
        return ("human" in first or "assistant" in first) and "role" not in first

    return fits


def _plain(key: str) -> Callable[[Object], bool]:
    def fits(row: Object) -> bool:
        turns = row[key]
        first = turns[0] if type(turns) is list and turns else None
        return type(first) is dict and "role" in first and "content" in first

    return fits


def _chat(key: str) -> tuple[Dialect, ...]:
    places = (Turns((key,), system="system"),)
    where = "" if key == "messages" else f" under `{key}`"

    def sharegpt(role: str, text: str) -> Dialect:
        swapped = "" if (role, text) == ("from", "value") else " with other names"
        name = f"ShareGPT{where or ' under `messages`'}{swapped}: {role}, {text}"
        fits = _spelt(key, role, text)
        return Dialect("sharegpt", name, (key,), places=places, fits=fits, also=ALSO)

    swift = Dialect(
        "swift",
        f"Swift ShareGPT{where}: human, assistant",
        (key,),
        places=(System(key), Pairs(key, ("human", "assistant"), optional=False)),
        fits=_exchanges(key),
    )
    chat = Dialect(
        "messages", f"OpenAI chat{where}: role, content", (key,), places=places, also=ALSO
    )
    others = (sharegpt(*names) for names in SWAPPED)
    # The most common ones are looked for first; what is no turn at all is told by the last.
    common = msgspec.structs.replace(chat, fits=_plain(key))
    return (common, sharegpt("from", "value"), *others, swift, chat)


CHAT = tuple(dialect for key in LISTS for dialect in _chat(key))
