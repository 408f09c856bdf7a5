"""What a row of a dataset is once it is read: its turns, what it can teach, what is wrong with it.

Knows names and types alone. Does not know JSON, files or how a shape is recognised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

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


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a dialect finds in one JSON object; the attributes are those of `Row`.

    `refused` is why a row that can be read cannot be trained on (an image, say).
    """

    turns: tuple[Turn, ...] = ()
    text: str = ""
    tools: tuple[Mapping[str, object], ...] = ()
    rejected: tuple[Turn, ...] = ()
    prompt_turns: int = 0
    label: bool | None = None
    ids: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()
    segments: tuple[tuple[str, bool], ...] = ()
    refused: str | None = None


class Row(msgspec.Struct, frozen=True, gc=False):
    """One line of the file.

    Attributes:
        number: the line, counted from 1.
        raw: the line without its ending (only the head of a row that is too long to parse).
        shape: the family it belongs to; `dialect` names the exact variant in words.
        turns: the conversation. A preference has the prompt and the chosen answer, of which
            `prompt_turns` are the prompt. Empty for purpose `text`, `tokens` and `segments`.
        error: None for a row that can be trained on; else line, key and what was expected.
        text: the text of a row with purpose `text`.
        purpose: what a row of this shape can teach.
        tools: what the assistant may call, as the file describes them.
        rejected: the turns of the rejected answer alone.
        label: whether the answer of an unpaired preference is a good one.
        ids: token ids of a row that is tokenised already.
        labels: its training labels (-100 is not trained), one for each id; for purpose
            `stepwise`, 1 or 0 for each step.
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
