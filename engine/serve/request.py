"""What a client may ask: the body of a chat completion, read strictly.

Knows OpenAI's fields and which of them we honour. A field that would be ignored is refused by
name, unless it holds what we do anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from engine.chat.client import Sampling
from engine.chat.messages import BadField, ChatMessage, read, turns
from engine.data.rows import Turn

LONGEST = 1_000_000
"""Tokens of an answer that names no limit; the context ends it before."""
_SEEDS = 2**53
_NEUTRAL: tuple[tuple[str, object], ...] = (
    ("n", 1),
    ("frequency_penalty", 0),
    ("presence_penalty", 0),
    ("logprobs", False),
    ("store", False),
    ("parallel_tool_calls", True),
    ("tools", []),
    ("tool_choice", "none"),
    ("logit_bias", {}),
    ("modalities", ["text"]),
    ("response_format", {"type": "text"}),
)
_Stop = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=LONGEST)]


class _StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    include_usage: bool = False


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    messages: list[ChatMessage]
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] = 1.0
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    # Not OpenAI's, but what vLLM, llama.cpp and others have under these names.
    top_k: Annotated[int, msgspec.Meta(ge=-1, le=1_000_000)] = 0  # -1 is off as 0 is
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1.0
    stop: _Stop | Annotated[list[_Stop], msgspec.Meta(max_length=4)] | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    user: str = ""  # who asks, for the server's own records: we keep none


@dataclass(frozen=True, slots=True)
class Question:
    """A chat completion that is wanted.

    Attributes:
        stops: an answer ends before the first of these; none of it is told.
        usage: a stream ends with a chunk that counts the tokens.
    """

    model: str
    turns: tuple[Turn, ...]
    sampling: Sampling
    stops: tuple[str, ...]
    stream: bool
    usage: bool


def parse(body: bytes, seed: int) -> Question:
    """Read a body; `seed` is taken where it names none.

    Raises:
        BadField: it is not what was expected; nothing is corrected in silence.
    """
    asked = read(body, _Body, _NEUTRAL)
    limits = {one for one in (asked.max_tokens, asked.max_completion_tokens) if one is not None}
    if len(limits) > 1:
        raise BadField(
            "max_tokens: another number than max_completion_tokens", "max_tokens", "Send one."
        )
    if asked.stream_options is not None and not asked.stream:
        raise BadField("stream_options: expected stream true", "stream_options", "Leave it out.")
    sampling = Sampling(
        max_tokens=limits.pop() if limits else LONGEST,
        temperature=asked.temperature,
        top_p=asked.top_p,
        seed=seed % _SEEDS if asked.seed is None else asked.seed,
        top_k=max(asked.top_k, 0),
        min_p=asked.min_p,
        repetition_penalty=asked.repetition_penalty,
    )
    return Question(
        asked.model,
        turns(asked.messages),
        sampling,
        (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ()),
        asked.stream,
        asked.stream_options is not None and asked.stream_options.include_usage,
    )
