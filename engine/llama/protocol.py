"""What the llama.cpp worker understands besides chat: the questions an export proof asks.

Knows the shape of the messages. Texts and templates come from the GGUF file alone.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from engine.chat import protocol
from engine.chat.protocol import Id, Message
from engine.data.rows import Turn


class Describe(Message, frozen=True, tag="describe"):
    """What the file says of itself; answered by `Description`."""

    id: Id


class Tokenize(Message, frozen=True, tag="tokenize"):
    """Ids of texts, by the file's own tokenizer; answered by `Tokens`.

    Attributes:
        parse_special: special tokens written in the text are recognised.
        add_special: let the file's `add_bos_token` and `add_eos_token` act.
    """

    id: Id
    texts: list[str]
    parse_special: bool
    add_special: bool


class Render(Message, frozen=True, tag="render"):
    """Conversations through the file's own chat template; answered by `Texts`."""

    id: Id
    conversations: list[tuple[Turn, ...]]
    generation_prompt: bool


class Count(Message, frozen=True, tag="count"):
    """How long conversations are as prompts; answered by `Counts`."""

    id: Id
    conversations: list[tuple[Turn, ...]]


class EndOfGeneration(Message, frozen=True, tag="end_of_generation"):
    """Whether llama.cpp stops at each id; answered by `Flags`."""

    id: Id
    ids: list[Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]]


class Logits(Message, frozen=True, tag="logits"):
    """Logits at every position of each sequence, written to `path` as float32 .npy.

    Attributes:
        model: who is asked, by the name of its seat.
    """

    id: Id
    model: str
    sequences: list[list[Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]]]
    path: str


class Description(Message, frozen=True, tag="description"):
    """Answer to `Describe`.

    Attributes:
        metadata: every string-printable key of the file.
        template: the chat template's text, or None.
        vocabulary: number of tokens; context: positions it was trained for.
        bos, eos, eot: ids, -1 where there is none.
        context_used: positions this worker can hold.
    """

    id: Id
    metadata: dict[str, str]
    template: str | None
    vocabulary: int
    context: int
    context_used: int
    bos: int
    eos: int
    eot: int
    add_bos: bool
    add_eos: bool


class Tokens(Message, frozen=True, tag="tokens"):
    """Answer to `Tokenize`: one list of ids a text."""

    id: Id
    ids: list[list[int]]


class Texts(Message, frozen=True, tag="texts"):
    """Answer to `Render`: one text a conversation."""

    id: Id
    texts: list[str]


class Counts(Message, frozen=True, tag="counts"):
    """Answer to `Count`: tokens a conversation, and how many the worker can hold."""

    id: Id
    tokens: list[int]
    context: int


class Flags(Message, frozen=True, tag="flags"):
    """Answer to `EndOfGeneration`, in order."""

    id: Id
    flags: list[bool]


class LogitsWritten(Message, frozen=True, tag="logits_written"):
    """Answer to `Logits`: the shape of the array in the file."""

    id: Id
    positions: int
    vocabulary: int


Request = protocol.Request | Describe | Tokenize | Render | Count | EndOfGeneration | Logits
Event = protocol.Event | Description | Tokens | Texts | Counts | Flags | LogitsWritten
