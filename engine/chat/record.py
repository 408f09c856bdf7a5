"""Keeping a chat: what was asked and what every column answered.

Knows the catalogue. Called by whoever holds the conversation; workers keep nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from engine.chat.client import Sampling
from engine.chat.protocol import Done, Failed
from store import chats
from store.catalogue import Catalogue

TITLE = 60


def begin(cat: Catalogue, prompt: str, *, system: str = "", sampling: Sampling) -> int:
    """A new chat, titled by its first words; its id."""
    title = " ".join(prompt.split())[:TITLE]
    return chats.create(cat, title=title, system=system, sampling=asdict(sampling)).id


def exchange(
    cat: Catalogue, chat_id: int, prompt: str, answers: Sequence[Done | Failed], *, seed: int
) -> None:
    """One question and the answers of all columns to it, which share a position.

    A column that failed keeps its letter and leaves nothing.
    """
    asked = chats.add_turn(cat, chat_id, "user", prompt)
    for number, done in enumerate(answers):
        if isinstance(done, Failed):
            continue
        chats.add_turn(
            cat,
            chat_id,
            "assistant",
            done.text,
            position=asked.position + 1,
            column=chr(ord("A") + number),
            model=done.model,
            tokens=done.tokens,
            seconds=done.seconds,
            first_token_seconds=done.first_token_seconds,
            stop=done.stop,
            seed=seed,
        )
