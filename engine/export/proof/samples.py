"""What a proof is measured on: held-out conversations, or the shipped ones.

Knows rows and the renderer. Does not know models. All of it is fixed, so that a proof can be
repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.rows import Turn, parse_row
from engine.render.renderer import Renderer
from store.errors import BadInput, Unsupported

MAX_SAMPLES = 256
MAX_LENGTH = 512

_QUESTIONS = (
    "Hello!",
    "What is 7 plus 8?",
    "Name three colours and say which one you like best.",
    "List the files in this folder, newest first.",
    "Spell the word 'necessary', one letter at a time.",
    "Explain in two sentences why the sky is blue.",
    "Schreibe einen kurzen Satz über den Fluss.",
    "def add(a, b):\n    return a + b\n\nWhat does this do?",
    "Count from 1 to 12.",
    "Is a whale a fish? Answer yes or no.",
    "Translate 'good morning' into French.",
    "   Where do the spaces go?   ",
)
_SYSTEM = "You are a helpful assistant. Answer briefly."
_ANSWER = "It is a short answer, with a number (15), a name and an end."


@dataclass(frozen=True, slots=True)
class Sample:
    """One held-out example as the trained model reads it.

    Attributes:
        turns: the conversation; empty for plain text.
        text: what is tokenised. ids, mask: what comes out, and 1 where the loss counts.
    """

    turns: tuple[Turn, ...]
    text: str
    ids: tuple[int, ...]
    mask: tuple[int, ...]


def held_out(renderer: Renderer, chats: Path | None) -> list[Sample]:
    """Samples from a JSONL file of held-out rows, or from the shipped conversations.

    Rows that cannot be rendered are left out: training left them out too.
    """
    samples: list[Sample] = []
    if chats is not None and chats.is_file():
        with chats.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                row = parse_row(number, line.rstrip(b"\r\n"))
                if row.error is None:
                    samples += _sample(renderer, row.turns, row.text if not row.turns else "")
                if len(samples) >= MAX_SAMPLES:
                    break
    return samples or shipped(renderer)


def read_for_importance(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Every second one: what a file was fitted to is not what it is measured on."""
    return samples[1::2]


def kept_for_the_proof(samples: Sequence[Sample]) -> list[Sample]:
    """The others."""
    return list(samples[::2])


def shipped(renderer: Renderer) -> list[Sample]:
    """The shipped conversations in every shape that the template takes."""
    samples: list[Sample] = []
    for number, question in enumerate(_QUESTIONS):
        turns = [Turn("user", question), Turn("assistant", _ANSWER)]
        if number % 3 == 1:
            turns = [*turns, Turn("user", "Thank you."), Turn("assistant", "Gladly.")]
        if number % 2:
            samples += _sample(renderer, [Turn("system", _SYSTEM), *turns], "") or _sample(
                renderer, turns, ""
            )
        else:
            samples += _sample(renderer, turns, "")
    return samples or [s for q in _QUESTIONS for s in _sample(renderer, (), f"{q} {_ANSWER}")]


def _sample(renderer: Renderer, turns: Sequence[Turn], text: str) -> list[Sample]:
    try:
        rendered = renderer.render(turns, spans=False) if turns else renderer.render_text(text)
    except (BadInput, Unsupported):
        return []
    return [Sample(tuple(turns), rendered.text, tuple(rendered.ids), tuple(rendered.mask))]
