"""One shape of row into another: losslessly where it can be, and told where it cannot.

What is lost is not believed but found: the new row is read, and what its reading lacks is named.
Does not know files (`convert_file`) or chat templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Literal, get_args

import msgspec

from engine.data.convert.parcel import Item, Member, Parcel, build, listed, quoted, unpack
from engine.data.row.turnbox import CALLS, FLAGS
from engine.data.rows import Row, Shape, Turn, parse_row
from engine.data.shapes.table import TABLE
from engine.data.shapes.turn import READ_BY_TEMPLATES
from store.errors import BadInput
from store.visible import visible

Target = Literal[
    "messages",
    "sharegpt",
    "alpaca",
    "prompt_completion",
    "prompt_completion_messages",
    "text",
    "preference",
    "openai_preference",
    "kto",
]
TARGETS: tuple[Target, ...] = get_args(Target)

_SHAPES: dict[Target, Shape] = {
    "prompt_completion_messages": "prompt_completion",
    "kto": "unpaired",
}
_TELLING = frozenset(key for dialect in TABLE for key in dialect.keys)
"""Keys by which shapes are told; an unknown key of such a name may have to be left."""


class Converted(msgspec.Struct, frozen=True):
    """A row in its new shape.

    `more` are further rows (a pair gives two unpaired answers); `lost` is what the new shape has
    no place for, in words.
    """

    raw: bytes
    lost: tuple[str, ...] = ()
    more: tuple[bytes, ...] = ()


def convert(row: Row, to: Target) -> Converted:
    """Give a row another shape; one that has it already stays byte for byte.

    Raises:
        BadInput: the row is broken, or the shape has no place for what it says.
    """
    if to not in TARGETS:
        raise BadInput(f"there is no shape `{to}`", f"expected one of {', '.join(TARGETS)}")
    if row.error is not None:
        raise BadInput(row.error, "repair or delete the row, or leave such rows out: --leave-out")
    if _is_already(row, to):
        return Converted(row.raw)
    if row.purpose in ("tokens", "segments", "text") and to != "text":
        raise _cannot(row, to, f"a row of {row.dialect} has no turns")
    if row.label is False and to != "kto":
        raise _cannot(row, to, "its answer is marked bad and would be learnt as a good one")
    parcel = unpack(row)
    rows: list[bytes] = []
    lost: list[str] = []
    for members in _MAKERS[to](parcel):
        raw, dropped = _finished(parcel, to, members)
        rows.append(raw)
        lost += dropped
    if len(rows) > 1:
        lost = [what for what in lost if not what.endswith(" answer")]
    return Converted(rows[0], tuple(dict.fromkeys(lost)), tuple(rows[1:]))


def _is_already(row: Row, to: Target) -> bool:
    """Is the row spelt as this module would spell it?"""
    if row.shape != _SHAPES.get(to, to):
        return False
    names = {
        "messages": "OpenAI chat: role, content",
        "sharegpt": "ShareGPT under `conversations`: from, value",
        "preference": "TRL: prompt, chosen, rejected",
        "kto": "TRL unpaired: prompt, completion, label",
    }
    if row.dialect != names.get(to, row.dialect):
        return False
    if to in ("messages", "sharegpt"):
        value = msgspec.json.decode(row.raw)
        return not (isinstance(value, dict) and value.get("system"))
    if to in ("preference", "kto", "prompt_completion", "prompt_completion_messages"):
        value = msgspec.json.decode(row.raw)
        held = str if to == "prompt_completion" else list
        keys = ("prompt", "chosen", "rejected") if to == "preference" else ("prompt", "completion")
        return isinstance(value, dict) and all(isinstance(value[key], held) for key in keys)
    return True


def _finished(parcel: Parcel, to: Target, members: list[Member]) -> tuple[bytes, list[str]]:
    """The new row with the unknown keys of the old one, and what it lacks."""
    taken = {key for key, _ in members}
    carried = {"parallel_tool_calls"} if to == "openai_preference" else set()  # within `input`
    clash = [key for key, _ in parcel.extras if key in taken]
    extras = [member for member in parcel.extras if member[0] not in taken | carried]
    for kept in (extras, [member for member in extras if member[0] not in _TELLING]):
        raw = one_line(build([*members, *kept])).encode()
        made = parse_row(parcel.row.number, raw)
        if made.error is None and made.shape == _SHAPES.get(to, to):
            left = [member[0] for member in extras if member not in kept]
            lost = [*_lacks(parcel.row, made), *(f"key `{key}`" for key in (*clash, *left))]
            if to in ("alpaca", "prompt_completion", "text"):
                lost += [f"key `{key}` of a turn" for key in _unknown(parcel)]
            return raw, lost
    raise _cannot(parcel.row, to, made.error or "the new row would read as another shape")


def _lacks(old: Row, new: Row) -> list[str]:
    """What the new row does not say and the old one did, in words."""
    lost = []
    chosen = new.purpose != "unpaired" or new.label is not False
    if chosen and new.purpose != "text":
        for before, after in zip(old.turns, new.turns, strict=False):
            lost += _lacks_of(before, after, old.purpose == "sft" == new.purpose)
    if old.tools and old.tools != new.tools:
        lost.append("the tools")
    if old.rejected and not new.rejected:
        lost.append("the rejected answer" if chosen else "the chosen answer")
    if old.label is not None and new.label is None:
        lost.append("the label")
    if old.dialect.startswith("Nectar"):
        lost.append("ranks, and answers between the best and the worst")
    if old.purpose == "stepwise":
        lost.append("which steps are right")
    if new.purpose == "text" and old.purpose != "text":
        lost.append("what of it is trained")
    return lost


def _unknown(parcel: Parcel) -> list[str]:
    """Keys of turns that nobody knows; a list of turns keeps them, a bare text cannot."""
    known = (*READ_BY_TEMPLATES, *FLAGS, *CALLS, "train_detail")
    return [key for item in parcel.items for key, _ in item.members if key not in known]


def _lacks_of(before: Turn, after: Turn, trained: bool) -> list[str]:
    lost = [f"`{key}` of a turn" for key in before.extra if key not in after.extra]
    calls, kept = before.extra.get("tool_calls"), after.extra.get("tool_calls")
    if kept is not None and calls != kept:
        lost.append("the ids of tool calls")
    if trained and _learned(before) != _learned(after):
        lost.append("whether a turn is trained")
    if before.flags and before.flags != after.flags:
        lost.append("which part of a turn is trained")
    return lost


def _learned(turn: Turn) -> bool:
    return turn.role == "assistant" if turn.train is None else turn.train


def _cannot(row: Row, to: str, why: str) -> BadInput:
    prefix = f"line {row.number}: "
    return BadInput(
        visible(f"{prefix}cannot become {to}: {why.removeprefix(prefix)}"),
        "choose another shape, or leave such rows out: --leave-out",
    )


# One function a target: the members of the new row, without unknown keys


def _tools(parcel: Parcel, *, as_text: bool = False) -> list[Member]:
    if not parcel.tools:
        return []
    return [("tools", quoted(parcel.tools) if as_text else parcel.tools)]


def _messages(parcel: Parcel) -> list[list[Member]]:
    return [[("messages", _list(parcel.items)), *_tools(parcel)]]


def _sharegpt(parcel: Parcel) -> list[list[Member]]:
    turns = listed([item.sharegpt() for item in parcel.items])
    return [[("conversations", turns), *_tools(parcel, as_text=True)]]


def _list(items: tuple[Item, ...]) -> str:
    return listed([item.message() for item in items])


def _alpaca(parcel: Parcel) -> list[list[Member]]:
    items = parcel.items
    system: list[Member] = []
    if items and items[0].turn.role == "system":
        system = [("system", items[0].text)]
        items = items[1:]
    roles = [item.turn.role for item in items]
    if not roles or len(roles) % 2 or roles != ["user", "assistant"] * (len(roles) // 2):
        spoken = " ".join(item.turn.role for item in parcel.items)
        raise _cannot(
            parcel.row,
            "alpaca",
            f"its turns are {spoken}; expected user and assistant in turn, perhaps after system",
        )
    _no_calls(parcel, "alpaca")
    pairs = [listed([items[n].text, items[n + 1].text]) for n in range(0, len(items) - 2, 2)]
    asked = [("instruction", items[-2].text), ("input", '""'), ("output", items[-1].text)]
    history = [("history", listed(pairs))] if pairs else []
    return [[*asked, *system, *history, *_tools(parcel, as_text=True)]]


def _strings(parcel: Parcel) -> list[list[Member]]:
    roles = [item.turn.role for item in parcel.items]
    if roles != ["user", "assistant"]:
        raise _cannot(
            parcel.row,
            "prompt_completion",
            f"its turns are {' '.join(roles)}; expected user and assistant "
            "(more turns fit prompt_completion_messages)",
        )
    _no_calls(parcel, "prompt_completion")
    return [[("prompt", parcel.items[0].text), ("completion", parcel.items[1].text)]]


def _lists(parcel: Parcel) -> list[list[Member]]:
    prompt, answer = _answered(parcel, "prompt_completion_messages")
    return [[("prompt", _list(prompt)), ("completion", _list(answer)), *_tools(parcel)]]


def _answered(parcel: Parcel, to: str) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """The prompt and its answer: as the row divides them, else the last turn is the answer."""
    at = parcel.row.prompt_turns or len(parcel.items) - 1
    prompt, answer = parcel.items[:at], parcel.items[at:]
    if not prompt or not answer or answer[-1].turn.role != "assistant":
        spoken = " ".join(item.turn.role for item in parcel.items)
        raise _cannot(parcel.row, to, f"its turns are {spoken}; expected an answer at the end")
    return prompt, answer


def _no_calls(parcel: Parcel, to: str) -> None:
    for number, item in enumerate(parcel.items):
        if item.turn.extra.get("tool_calls"):
            raise _cannot(parcel.row, to, f"turn {number} calls a tool, which has no place there")


def _text(parcel: Parcel) -> list[list[Member]]:
    row = parcel.row
    if row.purpose == "segments":
        return [[("text", quoted("".join(text for text, _ in row.segments)))]]
    if row.shape != "prompt_completion" or len(row.turns) != 2:
        raise _cannot(row, "text", f"how {row.dialect} reads as one text is up to a chat template")
    return [[("text", quoted(row.turns[0].text + row.turns[1].text))]]


def _sides(parcel: Parcel, to: str) -> tuple[str, str, str]:
    if not parcel.rejected:
        raise _cannot(parcel.row, to, "it has no rejected answer")
    at = parcel.row.prompt_turns
    return _list(parcel.items[:at]), _list(parcel.items[at:]), _list(parcel.rejected)


def _preference(parcel: Parcel) -> list[list[Member]]:
    prompt, chosen, rejected = _sides(parcel, "preference")
    asked = [("prompt", prompt)] if parcel.row.prompt_turns else []
    return [[*asked, ("chosen", chosen), ("rejected", rejected), *_tools(parcel)]]


def _openai_preference(parcel: Parcel) -> list[list[Member]]:
    prompt, chosen, rejected = _sides(parcel, "openai_preference")
    beside = [member for member in parcel.extras if member[0] == "parallel_tool_calls"]
    asked = build([("messages", prompt), *_tools(parcel), *beside])
    return [[("input", asked), ("preferred_output", chosen), ("non_preferred_output", rejected)]]


def _kto(parcel: Parcel) -> list[list[Member]]:
    row = parcel.row
    tools = _tools(parcel)
    if row.rejected:
        prompt, chosen, rejected = _sides(parcel, "kto")
        return [
            [("prompt", prompt), ("completion", answer), ("label", label), *tools]
            for answer, label in ((chosen, "true"), (rejected, "false"))
        ]
    if row.label is None:
        raise _cannot(row, "kto", "nothing says whether its answer is good")
    asked, answer = _answered(parcel, "kto")
    label = json.dumps(row.label)
    return [[("prompt", _list(asked)), ("completion", _list(answer)), ("label", label), *tools]]


_MAKERS: dict[Target, Callable[[Parcel], list[list[Member]]]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt_completion": _strings,
    "prompt_completion_messages": _lists,
    "text": _text,
    "preference": _preference,
    "openai_preference": _openai_preference,
    "kto": _kto,
}


def one_line(text: str) -> str:
    """JSON without line breaks: an element of an array may have been spread over lines."""
    if "\n" not in text and "\r" not in text:
        return text
    # No string of JSON holds a raw line break.
    return " ".join(part.strip() for part in re.split("[\r\n]", text) if part.strip())
