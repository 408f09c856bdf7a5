"""An instruction and its answer: Alpaca and everything near it.

Knows the key names. A question of several texts is one user turn, a line each, as LLaMA-Factory
joins them; other trainers put words of their own between, which no file says.
"""

from __future__ import annotations

from engine.data.shapes.dialect import Dialect
from engine.data.shapes.places import Field, Joined, Pairs, Place
from engine.data.shapes.row import Shape


def _asked(
    name: str,
    keys: tuple[str, ...],
    *,
    question: tuple[str, ...] = (),
    system: str = "system",
    history: bool = False,
) -> Dialect:
    """A dialect with these keys, the last of which is the answer.

    `question` are the keys of the user's turn, the first alone being needed; the key before the
    last by default.
    """
    question = question or keys[-2:-1]
    places: list[Place] = [Field(system, "system", optional=True)]
    if history:
        places.append(Pairs("history"))
    places += [Joined(question), Field(keys[-1], "assistant")]
    shape: Shape = "alpaca" if name == "Alpaca" else "question_answer"
    return Dialect(shape, f"{name}: {', '.join(keys)}", keys, places=tuple(places))


_INSTRUCTION = ("instruction", "input")

INSTRUCT = (
    _asked("OpenOrca", ("system_prompt", "question", "response"), system="system_prompt"),
    _asked("Alpaca", ("instruction", "output"), question=_INSTRUCTION, history=True),
    _asked("GPTeacher", ("instruction", "response"), question=_INSTRUCTION, history=True),
    _asked("oasst", ("INSTRUCTION", "RESPONSE")),
    _asked("context QA", ("context", "question", "answer"), question=("context", "question")),
    _asked("article QA", ("article", "question", "answer"), question=("article", "question")),
    _asked("question and answer", ("question", "answer")),
    _asked("question and response", ("question", "response")),
    _asked("Metharme", ("prompt", "generation")),
    _asked("CAMEL", ("message_1", "message_2")),
    _asked("summary", ("article", "summary")),
    _asked("Swift", ("query", "response"), history=True),
    _asked("prompt and response", ("prompt", "response")),
    _asked("instruction and completion", ("instruction", "completion"), question=_INSTRUCTION),
    _asked("question and completion", ("question", "completion")),
    _asked("creative", ("instruction", "revision")),
    _asked("instruction and answer", ("instruction", "answer"), question=_INSTRUCTION),
    _asked("input and output", ("input", "output")),
)
