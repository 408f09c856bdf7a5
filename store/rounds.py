"""The tree that a conversation is: questions, each with the answers of all columns to it.

A path from a first question to a last one is a conversation; every column continues from its own
answers along it. Knows turns as `store.chats` keeps them. Does not know models or screens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from store.chats import Turn


@dataclass(frozen=True, slots=True)
class Round:
    """A question, and the newest answer of every column that gave one."""

    question: Turn
    answers: Mapping[str, Turn] = field(default_factory=dict)


class Tree:
    """All branches of one chat."""

    def __init__(self, turns: Iterable[Turn]) -> None:
        self._questions: dict[int, Turn] = {}
        self._answers: dict[int, dict[str, Turn]] = {}
        self._after: dict[int | None, list[int]] = {}
        for turn in turns:
            if turn.role == "user":
                self._questions[turn.id] = turn
                self._after.setdefault(turn.parent, []).append(turn.id)
            elif turn.parent is not None:
                self._answers.setdefault(turn.parent, {})[turn.column or "A"] = turn

    def __contains__(self, question: object) -> bool:
        return question in self._questions

    def __len__(self) -> int:
        return len(self._questions)

    def round(self, question: int) -> Round:
        """A question with its answers."""
        answers = self._answers.get(question, {})
        return Round(self._questions[question], dict(sorted(answers.items())))

    def path(self, head: int | None) -> list[Round]:
        """The conversation that ends with a question, from its first one on."""
        found: list[Round] = []
        while head is not None and head in self._questions:
            found.append(self.round(head))
            head = found[-1].question.parent
        return found[::-1]

    def versions(self, question: int) -> list[int]:
        """The questions that stand at one place of the conversation, oldest first."""
        return self._after[self._questions[question].parent]

    def after(self, question: int | None) -> list[int]:
        """The questions that come right after one, or begin the conversation; oldest first."""
        return self._after.get(question, [])

    def leaf(self, question: int | None) -> int | None:
        """Where the newest branch through a question ends."""
        while following := self._after.get(question):
            question = following[-1]
        return question

    def leaves(self) -> list[int]:
        """Where every branch ends, oldest first."""
        return sorted(number for number in self._questions if number not in self._after)

    def beside(self, question: int, by: int) -> int | None:
        """The version of a question before (-1) or after (1) it; None at the end."""
        versions = self.versions(question)
        place = versions.index(question) + by
        return versions[place] if 0 <= place < len(versions) else None
