"""An answer and whether it is good (KTO), and the steps of an answer and which of them are."""

from __future__ import annotations

from collections.abc import Callable

from engine.data.row.strict import WrongError, kind
from engine.data.shapes.chat import CHAT
from engine.data.shapes.dialect import Dialect, Object
from engine.data.shapes.instruct import INSTRUCT
from engine.data.shapes.places import Joined, One, Place, Spot, System
from engine.data.shapes.row import Reading, Turn
from engine.data.shapes.turn import text_at


def _steps(row: Object) -> Reading:
    steps, labels = row["completions"], row["labels"]
    for key, value in (("completions", steps), ("labels", labels)):
        if not isinstance(value, list):
            raise WrongError(f"{key}: expected a list, one for each step, found {kind(value)}")
    assert isinstance(steps, list) and isinstance(labels, list)
    if len(steps) != len(labels):
        raise WrongError(f"labels: {len(labels)} of them; expected {len(steps)}, one for each step")
    for index, (step, label) in enumerate(zip(steps, labels, strict=True)):
        if not isinstance(step, str):
            raise WrongError(f"completions.{index}: expected text, found {kind(step)}")
        if not isinstance(label, bool):
            raise WrongError(f"labels.{index}: expected true or false, found {kind(label)}")
    question = Turn("user", text_at(row, "prompt", ""))
    answers = (Turn("assistant", step) for step in steps)
    return Reading(
        turns=(question, *answers), prompt_turns=1, labels=tuple(int(label) for label in labels)
    )


def _step_spots(row: Object) -> list[Spot]:
    steps = row["completions"]
    assert isinstance(steps, list)
    answers = [Spot(("completions", n), "answer", "text", "assistant") for n in range(len(steps))]
    return [Spot(("prompt",), "prompt", "text", "user"), *answers]


Fits = Callable[[Object], bool] | None

STEPWISE = (
    Dialect(
        "stepwise",
        "TRL stepwise: prompt, completions, labels",
        ("prompt", "completions", "labels"),
        purpose="stepwise",
        tools=(),
        whole=_steps,
        found=_step_spots,
    ),
)


def _labelled(name: str, question: Place, beside: str) -> Dialect:
    return Dialect(
        "unpaired",
        name,
        (*question.reads()[:1], "completion", "label"),
        purpose="unpaired",
        places=(System(beside), question, One("completion", "assistant", "answer")),
        split="places",
        label="label",
    )


def _with_label(fits: Fits) -> Fits:
    def labelled(row: Object) -> bool:
        return isinstance(row.get("label"), bool) and (fits is None or fits(row))

    return labelled


def _tagged(dialect: Dialect, key: str, name: str) -> Dialect:
    return Dialect(
        "unpaired",
        f"{name} on {dialect.name}",
        (*dialect.keys, key),
        purpose="unpaired",
        places=dialect.places,
        fits=dialect.fits if key == "kto_tag" else _with_label(dialect.fits),
        split="last",
        label=key,
        also=dialect.also,
    )


UNPAIRED = (
    _labelled("TRL unpaired: prompt, completion, label", One("prompt", "user"), "prompt"),
    _labelled(
        "Axolotl KTO: instruction, completion, label", Joined(("instruction",)), "instruction"
    ),
    _labelled("Axolotl KTO: question, completion, label", Joined(("question",)), "question"),
    _labelled("Axolotl KTO: chosen, completion, label", One("chosen", "user"), "chosen"),
    *(_tagged(dialect, "kto_tag", "LLaMA-Factory kto_tag") for dialect in (*CHAT, *INSTRUCT)),
    *(_tagged(dialect, "label", "Swift label") for dialect in CHAT),
)
