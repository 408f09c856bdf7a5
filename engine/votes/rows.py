"""What is taken from a conversation, as rows of a dataset: examples, preferences, good and bad.

Knows the shapes and where a row came from, in words. Does not know datasets (see `landing`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.chat import presets
from engine.data.rows import Turn
from store.sqlite import storable
from store.votes import Item

FROM_CHAT = "from-chat"
FROM_VOTES = "from-votes"


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row to be added; `tag` and `note` say where it came from."""

    raw: bytes
    tag: str
    note: str


def example(turns: Sequence[Turn], note: str) -> NewRow:
    """A conversation that ends with the answer to be learned."""
    said = [(turn.role, turn.text) for turn in turns]
    return NewRow(_line({"messages": _messages(said)}), FROM_CHAT, note)


def of_vote(item: Item) -> list[NewRow]:
    """The rows of a vote: the better answer against each other one; one answer is good or bad.

    Nothing where no answer was better (but for a single one), nothing was voted, or the answers
    continue different conversations: a preference has one prompt.
    """
    vote = item.vote
    if vote is None or vote.verdict not in ("better", "bad"):
        return []
    prompt = {"prompt": _messages(item.turns)}
    if len(item.answers) == 1:
        said = item.answers[0]
        good = vote.verdict == "better"
        judged = {**prompt, "completion": _answer(said.text), "label": good}
        words = f"{said.model} {'good' if good else 'bad'}"
        return [NewRow(_line(judged), FROM_VOTES, _note(item, words))]
    if vote.best is None or any(answer.parted for answer in item.answers):
        return []
    best = item.answers[vote.best]
    found = []
    for other in item.answers:
        if other.text not in (None, best.text):
            pair = {"chosen": _answer(best.text), "rejected": _answer(other.text)}
            words = f"{best.model} over {other.model}"
            found.append(NewRow(_line({**prompt, **pair}), FROM_VOTES, _note(item, words)))
    return found


def origin(place: str, model: str, sampling: Mapping[str, Any], *more: str) -> str:
    """`chat 12 · run:1@40 · greedy · 256 tokens`: where an answer came from."""
    return " · ".join((place, model, presets.words(sampling), *more))


def _note(item: Item, words: str) -> str:
    place = "a chat" if item.chat_id is None else f"chat {item.chat_id}"
    if item.review_id is not None:
        place = f"review {item.review_id}"
    seen = ("blind",) if item.vote is not None and item.vote.blind else ()
    return origin(place, words, item.sampling, *seen)


def _answer(text: str | None) -> list[dict[str, str]]:
    return _messages([("assistant", text or "")])


def _messages(said: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in said]


def _line(value: Mapping[str, object]) -> bytes:
    """One line of JSON; a lone surrogate, which no file can hold, becomes U+FFFD."""
    return storable(json.dumps(value, ensure_ascii=False)).encode()
