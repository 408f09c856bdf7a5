"""A prompt and its completion, a prompt alone, and plain text."""

from __future__ import annotations

from engine.data.shapes.dialect import Dialect, Object
from engine.data.shapes.places import One, System
from engine.data.shapes.row import Reading
from engine.data.shapes.turn import text_at


def _text(row: Object) -> Reading:
    return Reading(text=text_at(row, "text", ""))


COMPLETION = (
    Dialect(
        "prompt_completion",
        "prompt and completion",
        ("prompt", "completion"),
        places=(
            System("prompt"),
            One("prompt", "user", train=False),
            One("completion", "assistant", "answer", train=True),
        ),
        split="places",
    ),
    Dialect(
        "prompt",
        "prompt alone",
        ("prompt",),
        purpose="prompt",
        places=(System("prompt"), One("prompt", "user")),
        split="places",
    ),
    Dialect("text", "text", ("text",), purpose="text", tools=(), whole=_text),
)
