"""Two answers and which is better, in the words of TRL, OpenAI, LLaMA-Factory, Axolotl and others.

Knows the key names and where the prompt ends. The turns of such a row are the prompt and the
chosen answer; the rejected answer is apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from engine.data.row.strict import WrongError, kind
from engine.data.shapes.chat import LISTS
from engine.data.shapes.dialect import Dialect, Object, first_of
from engine.data.shapes.places import (
    Field,
    Joined,
    One,
    Pairs,
    Part,
    Place,
    Spot,
    System,
    Turns,
)
from engine.data.shapes.row import Reading, Turn
from engine.data.shapes.turn import text_at

ANSWERS = (One("chosen", "assistant", "answer"), One("rejected", "assistant", "rejected"))


def _ranked(row: Object) -> Reading:
    """Nectar: many answers with ranks; the best is chosen, the worst is rejected."""
    question = Turn("user", text_at(row, "prompt", ""))
    answers = row["answers"]
    if not isinstance(answers, list) or len(answers) < 2:
        raise WrongError(f"answers: expected a list of two answers or more, found {kind(answers)}")
    found: list[tuple[float, int]] = []
    for index, item in enumerate(answers):
        if not isinstance(item, dict):
            raise WrongError(f"answers.{index}: expected an answer and a rank, found {kind(item)}")
        rank = item.get("rank")
        if isinstance(rank, bool) or not isinstance(rank, int | float):
            raise WrongError(f"answers.{index}.rank: expected a number, found {kind(rank)}")
        text_at(item, "answer", f"answers.{index}")
        found.append((rank, index))
    best, worst = min(found)[1], max(found)[1]
    return Reading(
        turns=(question, Turn("assistant", answers[best]["answer"])),
        rejected=(Turn("assistant", answers[worst]["answer"]),),
        prompt_turns=1,
    )


def _ranked_spots(row: Object) -> list[Spot]:
    answers = row["answers"]
    assert isinstance(answers, list)
    ranks = [(item["rank"], index) for index, item in enumerate(answers)]
    spots = [Spot(("prompt",), "prompt", "text", "user")]
    ends: tuple[tuple[int, Part], ...] = ((min(ranks)[1], "answer"), (max(ranks)[1], "rejected"))
    for index, part in ends:
        spots.append(Spot(("answers", index, "answer"), part, "text", "assistant"))
    return spots


def _implied(row: Object) -> Reading:
    """Two whole texts: the prompt is what they begin with alike, as TRL takes it apart."""
    chosen, rejected = text_at(row, "chosen", ""), text_at(row, "rejected", "")
    most = min(len(chosen), len(rejected))
    at = next((n for n in range(most) if chosen[n] != rejected[n]), most)
    at -= at > 0 and chosen[at - 1] == " "
    prompt = (Turn("user", chosen[:at]),) if at else ()
    return Reading(
        turns=(*prompt, Turn("assistant", chosen[at:])),
        rejected=(Turn("assistant", rejected[at:]),),
        prompt_turns=len(prompt),
    )


def _whole_dialogues(row: Object) -> bool:
    """Both are lists which begin with something else than an answer."""
    chosen, rejected = first_of(row, "chosen"), first_of(row, "rejected")
    mine = chosen.get("role", chosen.get("from"))
    return bool(chosen) and bool(rejected) and mine not in ("assistant", "gpt", None)


def _answers_alone(row: Object) -> bool:
    return not _whole_dialogues(row)


def _two_texts(row: Object) -> bool:
    return isinstance(row.get("chosen"), str)


def _ranks(row: Object) -> bool:
    return "rank" in first_of(row, "answers")


def _pair(
    name: str,
    keys: tuple[str, ...],
    *places: Place,
    fits: Callable[[Object], bool] | None = None,
    split: Literal["places", "last", "common"] = "places",
) -> Dialect:
    return Dialect(
        "preference", name, keys, purpose="preference", places=places, fits=fits, split=split
    )


def _beside(key: str) -> tuple[Dialect, ...]:
    """Answers beside a list of turns."""
    whose = "LLaMA-Factory" if key == "conversations" else "Axolotl chat_template.default"
    history = Turns((key,), system="system")
    return (
        _pair(
            f"OpenPipe: {key}, rejected_message",
            (key, "rejected_message"),
            history,
            One("rejected_message", "assistant", "rejected"),
            split="last",
        ),
        _pair(
            f"Swift: {key}, rejected_response",
            (key, "rejected_response"),
            history,
            One("rejected_response", "assistant", "rejected"),
            split="last",
        ),
        _pair(
            f"Swift: {key}, rejected_messages",
            (key, "rejected_messages"),
            history,
            Turns(("rejected_messages",), "rejected"),
            split="common",
        ),
        _pair(
            f"{whose}: {key}, chosen, rejected",
            (key, "chosen", "rejected"),
            history,
            *ANSWERS,
            fits=_answers_alone,
        ),
    )


def _asked(name: str, question: tuple[str, ...], chosen: str, rejected: str) -> Dialect:
    keys = (question[0], chosen, rejected)
    return _pair(
        f"{name}: {', '.join(keys)}",
        keys,
        Field("system", "system", optional=True),
        Pairs("history"),
        Joined(question),
        One(chosen, "assistant", "answer"),
        One(rejected, "assistant", "rejected"),
        fits=_answers_alone,
    )


PREFERENCE = (
    Dialect(
        "openai_preference",
        "OpenAI DPO: input, preferred_output, non_preferred_output",
        ("input", "preferred_output", "non_preferred_output"),
        purpose="preference",
        places=(
            Turns(("input", "messages")),
            Turns(("preferred_output",), "answer"),
            Turns(("non_preferred_output",), "rejected"),
        ),
        split="places",
        tools=("input", "tools"),
    ),
    Dialect(
        "preference",
        "Nectar: prompt, answers with ranks",
        ("prompt", "answers"),
        purpose="preference",
        fits=_ranks,
        whole=_ranked,
        found=_ranked_spots,
        tools=(),
    ),
    *(dialect for key in LISTS for dialect in _beside(key)),
    _asked("Axolotl argilla", ("instruction", "input"), "chosen_response", "rejected_response"),
    _asked("prompt and responses", ("prompt",), "chosen_response", "rejected_response"),
    _asked("LLaMA-Factory", ("instruction", "input"), "chosen", "rejected"),
    _asked("Axolotl intel", ("question",), "chosen", "rejected"),
    _pair(
        "Axolotl prompt_pairs: system, prompt, chosen, rejected",
        ("system", "prompt", "chosen", "rejected"),
        System("prompt"),
        One("prompt", "user"),
        *ANSWERS,
        fits=_answers_alone,
    ),
    _pair(
        "TRL: prompt, chosen, rejected",
        ("prompt", "chosen", "rejected"),
        One("prompt", "user"),
        *ANSWERS,
        fits=_answers_alone,
    ),
    _asked("Axolotl icr", ("input",), "chosen", "rejected"),
    _pair(
        "whole dialogues: chosen, rejected",
        ("chosen", "rejected"),
        System("chosen"),
        Turns(("chosen",), "answer"),
        Turns(("rejected",), "rejected"),
        fits=_whole_dialogues,
        split="common",
    ),
    Dialect(
        "preference",
        "TRL, the prompt implied: chosen, rejected",
        ("chosen", "rejected"),
        purpose="preference",
        fits=_two_texts,
        whole=_implied,
        tools=(),
    ),
    _pair("TRL without a prompt: chosen, rejected", ("chosen", "rejected"), *ANSWERS),
)
