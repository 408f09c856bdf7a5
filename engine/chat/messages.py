"""Conversations as programs send them: OpenAI's `messages`, and nothing that we would ignore.

Knows the shape of a message and how a mistake in JSON is told. Does not know files or HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal, TypeVar

import msgspec

from engine.data.rows import Turn
from store.errors import BadInput

T = TypeVar("T")
_MESSAGES = "Send texts of system, developer, user and assistant; the last message is the user's."
_OTHER = "Leave it out, or send what is expected."


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """A piece of a message; text is the only kind there is here."""

    text: str


class ChatMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]


class BadField(BadInput):
    """JSON that is not what was expected; `field` is where, e.g. `messages[0].role`, or None."""

    def __init__(self, message: str, field: str | None, hint: str | None = None) -> None:
        about = _MESSAGES if (field or "").startswith("messages") else _OTHER
        super().__init__(message, hint or about)
        self.field = field


def read(raw: bytes | str, shape: type[T], neutral: Sequence[tuple[str, object]] = ()) -> T:
    """One JSON object as `shape`; a field that holds null counts as absent.

    Args:
        neutral: fields that `shape` does not know, and the one value that they may hold.
    Raises:
        BadField: it is no JSON, or not of this shape.
    """
    try:
        value = _present(msgspec.json.decode(raw))
        if isinstance(value, dict):
            for name, only in neutral:
                if value.pop(name, only) != only:
                    raise BadField(f"{name}: expected {json.dumps(only)}, which is all we do", name)
        return msgspec.convert(value, shape)
    except RecursionError:
        raise BadField("the JSON is nested too deeply", None, "Send it flat.") from None
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadField(f"not JSON: {error}", None, "Send one JSON object in UTF-8.") from None


def turns(messages: Sequence[ChatMessage]) -> tuple[Turn, ...]:
    """Messages as turns; `developer` is what `system` is to every template we know.

    Raises:
        BadField: the last one is not the user's, so that nothing is asked.
    """
    if not messages:
        raise BadField("messages: empty; expected at least one", "messages")
    if messages[-1].role != "user":
        last = messages[-1].role
        raise BadField(f"messages: the last is of role {last}; expected user", "messages")
    return tuple(
        Turn("system" if one.role == "developer" else one.role, _text(one.content))
        for one in messages
    )


def _text(content: str | Sequence[Part]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _present(value: object) -> object:
    if isinstance(value, dict):
        return {key: _present(item) for key, item in value.items() if item is not None}
    return [_present(item) for item in value] if isinstance(value, list) else value


def _named(told: str) -> BadField:
    """The reader's words with the field in front: `Expected … - at `$.messages[0]``."""
    words, _, place = told.partition(" - at `$")
    where = place.rstrip("`").lstrip(".")
    if match := re.search(r"(?:unknown|required) field `([^`]*)`", words):
        where = f"{where}.{match[1]}".lstrip(".")
        what = "unknown here" if "unknown" in words else "missing"
        return BadField(f"{where}: {what}", where)
    return BadField(f"{where}: {words}" if where else words, where or None)
