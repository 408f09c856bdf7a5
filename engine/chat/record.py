"""Keeping a chat: what was asked and what every column answered.

Knows the catalogue. Called by whoever holds the conversation; workers keep nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from engine.chat.client import Sampling
from engine.chat.protocol import Done, Failed
from store import chats
from store.catalogue import Catalogue
from store.chats import DIED

TITLE = 60


def title_of(prompt: str) -> str:
    """What a chat is called after its first question: the first words of it."""
    return " ".join(prompt[: 10 * TITLE].split())[:TITLE]


def begin(cat: Catalogue, prompt: str, *, system: str = "", sampling: Sampling) -> int:
    """A new chat, titled by its first words; its id."""
    values = asdict(sampling)
    return chats.create(cat, title=title_of(prompt), system=system, sampling=values).id


def exchange(
    cat: Catalogue,
    chat_id: int,
    prompt: str,
    answers: Sequence[Done | Failed],
    *,
    seed: int,
    models: Sequence[str] = (),
    after: int | None = None,
) -> int:
    """One question and the answers of all columns to it; what the next one comes after.

    A column that failed keeps its letter and leaves nothing but what it had said by then.

    Args:
        models: references of the columns, as they were named.
        after: the question before; None where the chat's newest branch goes on.
    """
    chat = chats.get(cat, chat_id)
    before = chat.head if after is None else after
    asked = chats.ask(cat, chat_id, prompt, after=before, system=chat.system, models=models)
    drawn = {**chat.sampling, "seed": seed}
    for number, one in enumerate(answers):
        model = models[number] if number < len(models) else ""
        answer(cat, asked.id, number, one, sampling=drawn, model=model)
    return asked.id


def answer(
    cat: Catalogue,
    question: int,
    column: int,
    given: Done | Failed,
    *,
    sampling: Mapping[str, Any],
    model: str = "",
    place: str | None = None,
) -> chats.Turn | None:
    """What a column said to a question; None where that is nothing.

    Args:
        sampling: everything that decided the draws, the seed with it.
        model: who was asked, for half an answer of a worker that died.
        place: device and precision, which decide the last bits.
    """
    letter = chr(ord("A") + column)
    kept = dict(sampling)
    if isinstance(given, Failed):
        if not given.text:
            return None
        return chats.answer(cat, question, given.text, column=letter, model=model, stop=DIED,
                            tokens=given.tokens, sampling=kept, place=place)  # fmt: skip
    return chats.answer(
        cat,
        question,
        given.text,
        column=letter,
        model=given.model,
        tokens=given.tokens,
        seconds=given.seconds,
        first_token_seconds=given.first_token_seconds,
        stop=given.stop,
        sampling=kept,
        place=place,
    )
