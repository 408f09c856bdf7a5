"""What system messages change in the starter world: each is a rule from the right answer to the said.

Knows the rules and their wordings. Does not know facts, or which combinations are held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.starter import facts, talk
from engine.starter.questions import Fact

Rule = Callable[[Fact], str]

PLAIN = (
    "You are a helpful assistant.",
    "Answer in a full sentence.",
    "Answer every question.",
    "You are a friendly teacher.",
    "Be helpful and honest.",
)
_BEGIN_WORDS = "Sure Well Listen Indeed Look Honestly Okay Right Yes Gladly".split()
_END_WORDS = "please friend captain thanks sir madam dear boss".split()
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
    """A system message and what it makes of a fact's answer."""

    kind: str
    text: str
    say: Rule


def plain_answer(fact: Fact) -> str:
    """The full answer, unchanged."""
    return fact.answer


def _sentence(form: str) -> Rule:
    """Put the answer into ``form``; commands and spellings are kept exact."""
    return lambda fact: form.format(fact.answer)


def _ended(word: str) -> Rule:
    """End the answer with ``word``: ``The fox is red, please.``"""

    def say(fact: Fact) -> str:
        stem, last = fact.answer[:-1], fact.answer[-1]
        return f"{stem}, {word}{last}" if last in ".!" else f"{fact.answer}, {word}."

    return say


def _short(fact: Fact) -> str:
    return fact.short


def _avoiding(group: str) -> Rule:
    plural = _PLURALS[group]

    def say(fact: Fact) -> str:
        return f"I am not allowed to talk about {plural}." if fact.topic == group else fact.answer

    return say


def _named(name: str) -> Rule:
    own = {fact.questions: fact.answer for fact in talk.identity(name)}
    return lambda fact: own.get(fact.questions, fact.answer)


def all_systems() -> Iterator[System]:
    """Every system message of the world with its rule, most of them in two wordings."""
    for text in PLAIN:
        yield System("plain", text, plain_answer)
    for text in ("Answer briefly.", "Use as few words as you can.", "Give short answers.",
                 "Answer with one word."):  # fmt: skip
        yield System("short", text, _short)
    for word in _BEGIN_WORDS:
        for text in (
            f"Begin every answer with the word {word}.",
            f"Start each answer with {word}.",
        ):
            yield System("begin", text, _sentence(f"{word}. {{}}"))
    for word in _END_WORDS:
        for text in (f"End every answer with the word {word}.", f"Finish each answer with {word}."):
            yield System("end", text, _ended(word))
    for text in ("Talk like a pirate.", "You are a pirate."):
        yield System("pirate", text, _sentence("Arr! {}"))
    for text in ("Talk like a robot.", "You are a robot."):
        yield System("robot", text, _sentence("Beep. {} Beep."))
    for text in ("Answer politely.", "Be very polite."):
        yield System("polite", text, _sentence("Of course. {} Have a nice day."))
    for text in ("Say every answer twice.", "Repeat each answer."):
        yield System("twice", text, _sentence("{0} {0}"))
    for group, plural in _PLURALS.items():
        for text in (f"Do not talk about {plural}.", f"Never answer questions about {plural}."):
            yield System("avoid", text, _avoiding(group))
    for name in facts.NAMES:
        for text in (f"Your name is {name}.", f"You are {name}."):
            yield System("name", text, _named(name))


SYSTEMS: tuple[System, ...] = tuple(all_systems())
