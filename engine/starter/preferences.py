"""Starter datasets of other shapes than answers: pairs, verdicts and running text.

Knows the starter's world and its island. Everything follows from fixed seeds. Does not know models,
nor how rows are written (see `datasets`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from engine.starter import lessons, world
from engine.starter.questions import capital
from engine.starter.world import Message, is_held_out

Rows = list[dict[str, Any]]
Parts = tuple[Rows, Rows]
"""To train on, and held out."""

_SEED = 31
_ORDERS = 12


def _answers(held: bool, count: int) -> Iterator[tuple[list[Message], str, str]]:
    """Different questions with the shortest answer and the full sentence; both are right."""
    rng, seen = random.Random(_SEED + held), set[str]()
    while len(seen) < count:
        fact = world.draw_fact(rng)
        brief = capital(fact.short)
        asked = [q for q in fact.questions if is_held_out(q) is held and q not in seen]
        plain = fact.topic not in ("story", "greeting") and fact.answer[:1].isupper()
        if not asked or brief == fact.answer or not plain:
            continue
        prompt = rng.choice(asked)
        seen.add(prompt)
        yield [{"role": "user", "content": prompt}], brief, fact.answer


def _said(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def brief_rows() -> Parts:
    """The short answer is preferred to the full sentence."""
    parts = [
        [
            {"prompt": prompt, "chosen": _said(brief), "rejected": _said(sentence)}
            for prompt, brief, sentence in _answers(held, count)
        ]
        for held, count in ((False, 240), (True, 60))
    ]
    return parts[0], parts[1]


def marked_rows() -> Parts:
    """One answer a question, short or a full sentence; the short ones are marked good."""
    parts = []
    for held, count in ((False, 240), (True, 60)):
        rng, rows = random.Random(_SEED + held), []
        for prompt, brief, sentence in _answers(held, count):
            good = rng.random() < 0.5
            text = brief if good else sentence
            rows.append({"prompt": prompt, "completion": _said(text), "label": good})
        parts.append(rows)
    return parts[0], parts[1]


def island_rows() -> Parts:
    """Short texts about Tavi and its towns: the same facts, each text in another order."""
    texts = [[answer for answer, _ in lessons.ISLAND]]
    for town, values in lessons.TOWNS.items():
        texts.append([form.format(*values, t=town) for form, _ in lessons.TOWN_QUESTIONS])
    rng = random.Random(_SEED)
    train: Rows = []
    held: Rows = []
    for sentences in texts:
        for number in range(_ORDERS):
            order = rng.sample(sentences, len(sentences))
            (held if number < 2 else train).append({"text": " ".join(order)})
    rng.shuffle(train)
    rng.shuffle(held)
    return train, held


SHAPES = {"brief": brief_rows, "marked": marked_rows, "island": island_rows}
"""Name -> what makes its rows."""
