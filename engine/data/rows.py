"""One row of a JSONL file: its turns, or what is wrong with it.

Knows the shapes that trainers read. Does not know files, line endings or templates; JSON itself
is read in `strict`, one value of a row is replaced in `splice`.

A row is never refused: what cannot be read becomes a `Row` whose `error` names the line, the key
and what was expected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from engine.data.splice import set_value
from engine.data.strict import BOM, WrongError, kind, load, names
from store.visible import visible

__all__ = ["Purpose", "Row", "Shape", "Turn", "oversized", "parse_row", "set_value"]

Shape = Literal[
    "messages",
    "sharegpt",
    "swift",
    "alpaca",
    "question_answer",
    "prompt_completion",
    "prompt",
    "text",
    "preference",
    "openai_preference",
    "unpaired",
    "stepwise",
    "segments",
    "pretokenized",
    "unknown",
]
"""Families of shapes; the exact variant of a row is its `dialect`."""

Purpose = Literal[
    "sft", "text", "preference", "unpaired", "stepwise", "prompt", "tokens", "segments"
]
"""What a row can teach: answers, plain text, which of two answers is better, whether an answer
is good, which steps of one are; a question alone; ids as they are; segments as they are."""

MAX_ROW_BYTES = 4 << 20
"""A longer row is shown by its head and not parsed: it would stall a screen, and no model reads
a million tokens in one example."""
HEAD_BYTES = 64 << 10
"""How much of a row that is too long is kept."""

_SHAPES = (
    "expected `messages`, `conversations`, `prompt` and `completion`, "
    "`instruction` and `output`, or `text`"
)
_ROLES = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_SHAREGPT_ROLES = {
    **_ROLES,
    "human": "user",
    "gpt": "assistant",
    "function_call": "assistant",
    "observation": "tool",
}


class Turn(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One turn of a conversation.

    Attributes:
        role: `system`, `developer`, `user`, `assistant` or `tool`.
        text: what is said, the text parts joined.
        train: what the file says about learning this turn; None leaves it to the renderer
            (assistant turns are learned, others are not).
        extra: what a chat template reads beside role and content: `tool_calls` (arguments as
            objects), `name`, `tool_call_id`, `reasoning_content`, `thinking`.
        flags: ranges (start, end, trained) of characters of `text`, where the file decides
            about parts of a turn.
    """

    role: str
    text: str
    train: bool | None = None
    extra: Mapping[str, object] = msgspec.field(default_factory=dict)
    flags: tuple[tuple[int, int, bool], ...] = ()

    def __hash__(self) -> int:
        # Without `extra`, whose values need not be hashable.
        return hash((self.role, self.text, self.train, self.flags))


class Row(msgspec.Struct, frozen=True, gc=False):
    """One line of the file.

    Attributes:
        number: the line, counted from 1.
        raw: the line without its ending (only the first `HEAD_BYTES` of a row over
            `MAX_ROW_BYTES`).
        shape: the family it belongs to; `dialect` names the exact variant in words.
        turns: the conversation. A preference has the prompt and the chosen answer, of which
            `prompt_turns` are the prompt. Empty for purpose `text`, `tokens` and `segments`.
        error: None for a row that can be read; else line, key and what was expected.
        text: the text of a row with purpose `text`.
        purpose: what a row of this shape can teach.
        tools: what the assistant may call, as the file describes them.
        rejected: the turns of the rejected answer alone.
        label: whether the answer of an unpaired preference is a good one.
        ids, labels: token ids and training labels of a row that is tokenised already.
        segments: (text, trained) of a row that is cut into segments already.
    """

    number: int
    raw: bytes
    shape: Shape
    turns: tuple[Turn, ...]
    error: str | None
    text: str = ""
    dialect: str = ""
    purpose: Purpose = "sft"
    tools: tuple[Mapping[str, object], ...] = ()
    rejected: tuple[Turn, ...] = ()
    prompt_turns: int = 0
    label: bool | None = None
    ids: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()
    segments: tuple[tuple[str, bool], ...] = ()


def parse_row(number: int, raw: bytes) -> Row:
    """Read one line (without its ending). Never raises: see `Row.error`."""
    if len(raw) > MAX_ROW_BYTES:
        return oversized(number, raw[:HEAD_BYTES], len(raw))
    shape: Shape = "unknown"
    turns: tuple[Turn, ...] = ()
    text = ""
    error: str | None = None
    try:
        value = load(raw)
        if not isinstance(value, dict):
            raise WrongError(f"expected one JSON object, found {kind(value)}")
        shape = _shape(value)
        if shape == "text":
            text = _text(value, "text", "")
        else:
            turns = _TURNS[shape](value)
        if raw.startswith(BOM):
            raise WrongError("begins with a byte order mark; expected `{`: save it as plain UTF-8")
    except WrongError as wrong:
        error = visible(f"line {number}: {wrong}")
    purpose: Purpose = "text" if shape == "text" else "sft"
    return Row(number, raw, shape, turns, error, text, purpose=purpose)


def oversized(number: int, head: bytes, size: int) -> Row:
    """The row that stands for a line of `size` bytes which is too long to parse."""
    error = f"line {number}: {size:,} bytes long; expected at most {MAX_ROW_BYTES:,}"
    return Row(number, head, "unknown", (), error)


# Shapes


def _shape(row: Mapping[str, object]) -> Shape:
    if "messages" in row:
        return "messages"
    if "conversations" in row:
        return "sharegpt"
    if "prompt" in row and "completion" in row:
        return "prompt_completion"
    if "instruction" in row and "output" in row:
        return "alpaca"
    if "text" in row:
        return "text"
    raise WrongError(f"{_SHAPES}; found {names(row)}")


def _from_messages(row: Mapping[str, object]) -> tuple[Turn, ...]:
    return _turns(row["messages"], "messages", _ROLES)


def _from_sharegpt(row: Mapping[str, object]) -> tuple[Turn, ...]:
    return _system(row) + _turns(row["conversations"], "conversations", _SHAREGPT_ROLES)


def _from_prompt(row: Mapping[str, object]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for key, role, train in (("prompt", "user", False), ("completion", "assistant", True)):
        if isinstance(row[key], list):
            found = _turns(row[key], key, _ROLES)
        else:
            found = (Turn(role, _text(row, key, "")),)
        # TRL's meaning: the completion is learned, nothing of the prompt is.
        turns += [Turn(t.role, t.text, train and t.role == "assistant") for t in found]
    return tuple(turns)


def _from_alpaca(row: Mapping[str, object]) -> tuple[Turn, ...]:
    turns = list(_system(row))
    history = row.get("history") or []
    if not isinstance(history, list):
        raise WrongError(f"history: expected a list of [question, answer], found {kind(history)}")
    for number, pair in enumerate(history):
        if not (isinstance(pair, list) and len(pair) == 2):
            raise WrongError(f"history.{number}: expected [question, answer], found {kind(pair)}")
        for place, role in enumerate(("user", "assistant")):
            if not isinstance(pair[place], str):
                raise WrongError(
                    f"history.{number}.{place}: expected text, found {kind(pair[place])}"
                )
            turns.append(Turn(role, pair[place]))
    question = _text(row, "instruction", "")
    if row.get("input"):
        question += "\n" + _text(row, "input", "")
    return (*turns, Turn("user", question), Turn("assistant", _text(row, "output", "")))


_TURNS: dict[str, Callable[[Mapping[str, object]], tuple[Turn, ...]]] = {
    "messages": _from_messages,
    "sharegpt": _from_sharegpt,
    "prompt_completion": _from_prompt,
    "alpaca": _from_alpaca,
}


def _system(row: Mapping[str, object]) -> tuple[Turn, ...]:
    return (Turn("system", _text(row, "system", "")),) if row.get("system") else ()


def _turns(value: object, key: str, roles: Mapping[str, str]) -> tuple[Turn, ...]:
    if not isinstance(value, list):
        raise WrongError(f"{key}: expected a list of turns, found {kind(value)}")
    if not value:
        raise WrongError(f"{key}: expected at least one turn, found an empty list")
    return tuple(_turn(item, f"{key}.{index}", roles) for index, item in enumerate(value))


def _turn(item: object, path: str, roles: Mapping[str, str]) -> Turn:
    if not isinstance(item, dict):
        raise WrongError(
            f"{path}: expected an object with a role and a content, found {kind(item)}"
        )
    role_key, text_key = ("from", "value") if "from" in item else ("role", "content")
    if text_key == "value":
        roles = _SHAREGPT_ROLES
    role = _text(item, role_key, path)
    if role not in roles:
        raise WrongError(
            f"{path}.{role_key}: expected one of {', '.join(roles)}, found `{role[:40]}`"
        )
    for call in ("tool_calls", "function_call"):
        if item.get(call):
            raise WrongError(f"{path}.{call}: tool calls are not read; expected the call as text")
    if isinstance(item.get(text_key), list):
        text = _parts(item[text_key], f"{path}.{text_key}")
    else:
        text = _text(item, text_key, path)
    return Turn(roles[role], text, _train(item, path))


def _parts(parts: Sequence[object], path: str) -> str:
    texts = []
    for index, part in enumerate(parts):
        if not (isinstance(part, dict) and part.get("type") == "text"):
            raise WrongError(f"{path}.{index}: expected a part of type `text`, as no other is read")
        texts.append(_text(part, "text", f"{path}.{index}"))
    return "".join(texts)


def _train(item: Mapping[str, object], path: str) -> bool | None:
    """Axolotl's `train` and OpenAI's `weight`, where the turn has one."""
    flag = item.get("train")
    if flag is not None:
        if not isinstance(flag, bool):
            raise WrongError(f"{path}.train: expected true or false, found {kind(flag)}")
        return flag
    weight = item.get("weight")
    if weight is not None and weight not in (0, 1):
        raise WrongError(f"{path}.weight: expected 0 or 1, found {kind(weight)}")
    return None if weight is None else bool(weight)


def _text(row: Mapping[str, object], key: str, path: str) -> str:
    where = f"{path}.{key}" if path else key
    if key not in row:
        raise WrongError(f"{where}: missing; expected text (found {names(row)})")
    value = row[key]
    if not isinstance(value, str):
        raise WrongError(f"{where}: expected text, found {kind(value)}")
    return value
