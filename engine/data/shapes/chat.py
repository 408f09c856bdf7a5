"""Lists of turns: OpenAI chat, ShareGPT and its relatives, Swift's exchanges.

Knows under which keys the lists are found. Does not know how one turn is spelt (`turn`).
"""

from __future__ import annotations

from collections.abc import Callable

from engine.data.shapes.dialect import Dialect, Object, first_of
from engine.data.shapes.places import Pairs, System, Turns
from engine.data.shapes.turn import keys_of

LISTS = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns")
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


def _chat(key: str) -> tuple[Dialect, ...]:
    places = (System(key), Turns((key,)))
    where = "" if key == "messages" else f" under `{key}`"
    found = [
        Dialect(
            "sharegpt",
            f"ShareGPT{where or ' under `messages`'}: from, value",
            (key,),
            places=places,
            fits=_spelt(key, "from", "value"),
            also=ALSO,
        )
    ]
    for role, text in (("role", "value"), ("from", "content"), ("role", "text"), ("from", "text")):
        found.append(
            Dialect(
                "sharegpt",
                f"ShareGPT{where or ' under `messages`'} with other names: {role}, {text}",
                (key,),
                places=places,
                fits=_spelt(key, role, text),
                also=ALSO,
            )
        )
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
    return (*found, swift, chat)


CHAT = tuple(dialect for key in LISTS for dialect in _chat(key))
