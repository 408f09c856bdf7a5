"""What system messages change in the starter world: each is a rule that rewrites a fact's answer.

Knows the rules and their wordings. Does not know facts, or which combinations are held out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from engine.starter import facts, lessons, talk
from engine.starter.facts import Thing
from engine.starter.questions import Fact

Rule = Callable[[Fact], Fact]

PLAIN = (
    "You are a helpful assistant.",
    "Answer in a full sentence.",
    "Answer every question.",
    "You are a friendly teacher.",
    "Be helpful and honest.",
)
_BEGIN_WORDS = ("Sure", "Well", "Listen", "Indeed", "Look", "Honestly", "Okay", "Right", "Gladly")
_END_WORDS = ("please", "friend", "captain", "thanks", "sir", "madam", "dear", "boss")
_PLURALS = {
    "animal": "animals",
    "food": "food",
    "tool": "tools",
    "plant": "plants",
    "vehicle": "vehicles",
    "job": "jobs",
    "country": "countries",
    "sum": "numbers",
}


@dataclass(frozen=True, slots=True)
class System:
    """A system message and what it makes of a fact."""

    kind: str
    text: str
    rule: Rule

    def say(self, fact: Fact) -> str:
        """The right answer to a question about ``fact`` under this message."""
        return self.rule(fact).answer

    def fits(self, fact: Fact) -> bool:
        """Whether the rule can be kept for ``fact``: one word needs an answer of one word."""
        return " " not in fact.short or not self.kind.endswith("one word")

    def then(self, other: System) -> System:
        """Both messages in one, this one's rule first."""

        def both(fact: Fact) -> Fact:
            return other.rule(self.rule(fact))

        return System(f"{self.kind} {other.kind}", f"{self.text} {other.text}", both)


def _same(fact: Fact) -> Fact:
    return fact


def _short(fact: Fact) -> Fact:
    return replace(fact, answer=fact.short)


def _sentence(form: str, commands: bool = False) -> Rule:
    """Put the answer into ``form``. A command is code and stays as it is, unless ``commands``."""

    def rule(fact: Fact) -> Fact:
        if fact.topic == "command" and not commands:
            return fact
        return replace(fact, answer=form.format(fact.answer))

    return rule


def _ended(word: str) -> Rule:
    """End the answer with ``word``: ``The fox is red, please.``"""

    def rule(fact: Fact) -> Fact:
        if fact.topic == "command":
            return fact
        mark = fact.answer[-1] if fact.answer[-1] in ".!" else ""
        stem = fact.answer.removesuffix(mark)
        return replace(fact, answer=f"{stem}, {word}{mark or '.'}")

    return rule


def _avoiding(plural: str, concerns: Callable[[Fact], bool]) -> Rule:
    refusal = f"I would rather not talk about {plural}."
    return lambda fact: replace(fact, answer=refusal, short=refusal) if concerns(fact) else fact


def _avoiding_group(group: str) -> Rule:
    return _avoiding(_PLURALS[group], lambda fact: fact.topic == group)


def _avoiding_thing(thing: Thing) -> Rule:
    named = re.compile(rf"\b{thing.name}\b")
    return _avoiding(thing.plural, lambda fact: named.search(fact.questions[0]) is not None)


def _named(name: str) -> Rule:
    own = {fact.questions: fact for fact in talk.identity(name)}
    return lambda fact: own.get(fact.questions, fact)


def _all_systems() -> Iterator[System]:
    for text in PLAIN:
        yield System("plain", text, _same)
    for text in ("Answer briefly.", "Use as few words as you can.", "Give short answers."):
        yield System("short", text, _short)
    for text in ("Answer with one word.", "Reply with a single word."):
        yield System("one word", text, _short)
    for word in _BEGIN_WORDS:
        begin = _sentence(f"{word}. {{}}")
        yield System("begin", f"Begin every answer with the word {word}.", begin)
        yield System("begin", f"Start each answer with {word}.", begin)
    for word in _END_WORDS:
        yield System("end", f"End every answer with the word {word}.", _ended(word))
        yield System("end", f"Finish each answer with {word}.", _ended(word))
    for kind, texts, form in (
        ("pirate", ("Talk like a pirate.", "You are a pirate."), "Arr! {}"),
        ("robot", ("Talk like a robot.", "You are a robot."), "Beep. {} Beep."),
        ("polite", ("Answer politely.", "Be very polite."), "Of course. {} Have a nice day."),
        ("twice", ("Say every answer twice.", "Repeat each answer."), "{0} {0}"),
    ):
        for text in texts:
            yield System(kind, text, _sentence(form))
    for group, plural in _PLURALS.items():
        rule = _avoiding_group(group)
        yield System("avoid", f"Do not talk about {plural}.", rule)
        yield System("avoid", f"Never answer questions about {plural}.", rule)
    for thing in facts.ANIMALS:
        if thing.plural not in lessons.REFUSAL:  # that one is for the habit to learn
            rule = _avoiding_thing(thing)
            yield System("avoid thing", f"Do not talk about {thing.plural}.", rule)
            yield System("avoid thing", f"Never answer questions about {thing.plural}.", rule)
    for sentence in talk.sentences(without=lessons.PRAISE):
        opened = _sentence(f"{sentence} {{}}", commands=True)
        yield System("opener", f"Begin every answer with: {sentence}", opened)
        yield System("opener", f"Start each answer with this sentence: {sentence}", opened)
        yield System("closer", f"End every answer with: {sentence}", _sentence(f"{{}} {sentence}"))
    for name in facts.NAMES:
        yield System("name", f"Your name is {name}.", _named(name))
        yield System("name", f"You are {name}.", _named(name))


def _by_kind() -> dict[str, tuple[System, ...]]:
    kinds: dict[str, list[System]] = defaultdict(list)
    for system in _all_systems():
        kinds[system.kind].append(system)
    return {kind: tuple(found) for kind, found in kinds.items()}


SYSTEMS: dict[str, tuple[System, ...]] = _by_kind()
