"""What a chat worker and its clients say to each other: one JSON object a line.

Knows the shape of every message and the limits on it. Does not know sockets or models. A client
says `Hello` first and the worker answers `Ready`; both sides refuse another `VERSION`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from engine.data.rows import Turn

VERSION = 3
MAX_LINE = 16 * 1024 * 1024
"""Longest line either side reads, in bytes."""
MAX_SEATS = 256
"""Most models in one session."""
MAX_ROWS = 1024
"""Most rows in one request."""

Id = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
StopReason = Literal["turn end", "length", "stopped", "died", "edited"]
"""Why an answer ends; `died` and `edited` stand only in records: of half answers whose
worker died, and of what a person wrote in place of an answer."""


class Message(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """Base of every message."""


class Hello(Message, frozen=True, tag="hello"):
    """The first line of a client. `keep`: the worker stays when this client leaves."""

    version: int
    keep: bool


class Seat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of a session: the base itself, or an adapter folder on top of it.

    Attributes:
        strength: what the adapter's change of the weights is multiplied by.
    """

    model: str
    adapter: str | None
    strength: Annotated[float, msgspec.Meta(gt=0, le=4)] = 1.0


class Attach(Message, frozen=True, tag="attach"):
    """Make models askable side by side; answered by one `Sealed` each."""

    id: Id
    seats: Annotated[tuple[Seat, ...], msgspec.Meta(min_length=1, max_length=MAX_SEATS)]


class AskRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One conversation to continue. `column` names it in every event about it."""

    column: int
    model: str
    turns: tuple[Turn, ...]


class Ask(Message, frozen=True, tag="ask"):
    """Answer every row, all in one batch as far as memory allows.

    Attributes:
        temperature: 0 is greedy.
        seed: an answer depends on model, turns, sampling and seed, not on its neighbours.
        top_k: draw among so many likeliest tokens; 0 is among all.
        min_p: draw among tokens at least so likely as a share of the likeliest.
        repetition_penalty: as in transformers, over prompt and answer; 1 is none.
        likelihoods: tell the probability and the text of every token.
    """

    id: Id
    rows: Annotated[tuple[AskRow, ...], msgspec.Meta(min_length=1, max_length=MAX_ROWS)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 256
    temperature: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    top_k: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1.0
    likelihoods: bool = False


class Stop(Message, frozen=True, tag="stop"):
    """End the request `id` now; what was said so far is its answer."""

    id: Id


class Leave(Message, frozen=True, tag="leave"):
    """Leave the device if nothing is being answered: a training run wants it."""


class Close(Message, frozen=True, tag="close"):
    """The client goes."""


class Loading(Message, frozen=True, tag="loading"):
    """The worker is getting ready, or busy with another client; in words, for people."""

    text: str


class Ready(Message, frozen=True, tag="ready"):
    """The worker can be asked."""

    label: str
    device: str
    dtype: str


class Sealed(Message, frozen=True, tag="sealed"):
    """The proof that a column is what it says, made anew at every attaching.

    Attributes:
        alone: it cannot share a batch and is answered after the others; `detail` says why.
    """

    id: Id
    model: str
    ok: bool
    detail: str
    alone: bool = False


class Started(Message, frozen=True, tag="started"):
    """A row's prompt as the model sees it.

    Attributes:
        context: tokens that prompt and answer may have together; None where nobody says.
    """

    id: Id
    column: int
    prompt_ids: list[int]
    context: int | None = None


class Delta(Message, frozen=True, tag="delta", omit_defaults=True):
    """More text of a row. Untrusted: pass it through `store.visible` before a terminal.

    Attributes:
        tokens: how many tokens it took, those that showed nothing included.
        logprobs: of each of them, where likelihoods were asked for; see `Done`.
        pieces: the text that each of them completed; together they are `text`.
    """

    id: Id
    column: int
    text: str
    tokens: int = 1
    logprobs: list[float] | None = None
    pieces: list[str] | None = None


class Done(Message, frozen=True, tag="done", omit_defaults=True):
    """A row is answered.

    Attributes:
        ids: generated ids, the stop token included where there was one.
        tokens: length of `ids`.
        seconds: from the start of the row's batch to its last token.
        first_token_seconds: from the start of the row's batch to its first token.
        logprobs: natural logarithm of each id's probability as the model itself has it: at
            temperature 1 and before anything is cut off; None where it was not asked for.
        pieces: the text that each id completed; together they are `text`.
    """

    id: Id
    column: int
    model: str
    text: str
    ids: list[int]
    tokens: int
    seconds: float
    first_token_seconds: float
    stop: StopReason
    logprobs: list[float] | None = None
    pieces: list[str] | None = None


class Failed(Message, frozen=True, tag="failed", omit_defaults=True):
    """A row, a request (`column` None) or the connection (`id` None too) came to nothing.

    Attributes:
        died: the worker is gone; said by the client's own side, as no worker can.
        text, tokens: what the row had said by then.
    """

    id: Id | None
    message: str
    hint: str
    column: int | None = None
    died: bool = False
    text: str = ""
    tokens: int = 0


Request = Hello | Attach | Ask | Stop | Leave | Close
Event = Loading | Ready | Sealed | Started | Delta | Done | Failed

_encoder = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """One line, newline included. Lone surrogates in texts become U+FFFD."""
    try:
        return _encoder.encode(message) + b"\n"
    except UnicodeEncodeError:
        return _encoder.encode(_clean(msgspec.to_builtins(message))) + b"\n"


def _clean(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
