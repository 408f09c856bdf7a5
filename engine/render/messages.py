"""A row's turns as the messages that templates read; rows that answers cannot be learned from.

Knows names of fields. Does not render.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.data.rows import Purpose, Row, Turn
from engine.render.blocks import REASONING
from engine.render.template import Message
from store.errors import BadInput

_REFUSED: dict[Purpose, tuple[str, str]] = {
    "preference": (
        "a preference pair; fine-tuning on answers cannot use it",
        "Convert it to messages (the chosen answer is kept), or choose a preference recipe.",
    ),
    "unpaired": (
        "an answer marked good or bad; fine-tuning on answers would learn the bad ones too",
        "Convert the good ones to messages, or choose a preference recipe.",
    ),
    "stepwise": (
        "steps with a verdict each; fine-tuning on answers cannot use them",
        "Convert the row to messages, or leave it out.",
    ),
    "prompt": (
        "a prompt without an answer; there is nothing to learn from it",
        "Give it a completion, or leave it out.",
    ),
}


class Refused(BadInput):
    """The template cannot render these turns.

    Attributes:
        on_purpose: in its own words (as for an order of roles it does not know); else it broke.
    """

    def __init__(self, message: str, hint: str, *, on_purpose: bool) -> None:
        super().__init__(message, hint)
        self.on_purpose = on_purpose


def as_messages(turns: Sequence[Turn]) -> list[Message]:
    """One message a turn: role, content, and what else a template reads.

    Reasoning goes under every name that templates read it by, as transformers has it.
    """
    messages: list[Message] = []
    for turn in turns:
        message: Message = {"role": turn.role, "content": turn.text}
        if turn.extra:
            message |= turn.extra
            said = next((turn.extra[n] for n in REASONING if turn.extra.get(n) is not None), None)
            if said is not None:
                message = {"thinking": said, **message, "reasoning_content": said}
        messages.append(message)
    return messages


def in_parts(messages: Sequence[Message]) -> list[Message]:
    """The same messages with a list of parts for content, as templates of vision models want it."""
    return [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        for message in messages
    ]


def with_text_arguments(messages: Sequence[Message]) -> list[Message] | None:
    """The same messages with the arguments of calls as JSON text; None where there is no call."""
    changed: list[Message] = []
    found = False
    for message in messages:
        calls = message.get("tool_calls")
        if isinstance(calls, list | tuple) and calls:
            found = True
            message = {**message, "tool_calls": [_with_text(call) for call in calls]}
        changed.append(message)
    return changed if found else None


def _with_text(call: object) -> object:
    if not isinstance(call, dict):
        return call
    inner = call.get("function")
    if isinstance(inner, dict):
        return {**call, "function": _with_text(inner)}
    if "arguments" not in call or isinstance(call["arguments"], str):
        return call
    return {**call, "arguments": json.dumps(call["arguments"], ensure_ascii=False)}


def refuse_purpose(row: Row) -> None:
    """Let pass what answers can be learned from.

    Raises:
        BadInput: the row is for something else; the line is named.
    """
    refused = _REFUSED.get(row.purpose)
    if refused is not None:
        raise BadInput(f"line {row.number}: {refused[0]}", refused[1])


def at_line(row: Row, error: BadInput) -> BadInput:
    """The same error with the line named."""
    message = f"line {row.number}: {error.message}"
    if error.message.startswith(f"line {row.number}:"):
        return error
    if isinstance(error, Refused):
        return Refused(message, error.hint, on_purpose=error.on_purpose)
    return BadInput(message, error.hint)
