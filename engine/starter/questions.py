"""The questions of the starter world: every fact with its phrasings and its one right answer.

Knows how the tables of ``facts.py`` are asked about and answered. Does not know which questions are
held out, how conversations are put together, or what a system message changes (``world.py``).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from engine.starter import facts
from engine.starter.facts import Thing
from engine.starter.relations import RELATIONS


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing worth asking, with every way to ask it.

    ``answer`` is the full sentence, ``short`` the answer in as few words as possible, ``key`` the
    words that must appear in any right answer. ``follow`` asks the same of "it", in a later turn.
    """

    topic: str
    subject: str
    relation: str
    answer: str
    short: str
    key: str
    questions: tuple[str, ...]
    follow: str = ""


def capital(text: str) -> str:
    """``text`` with a capital first letter and the rest untouched."""
    return text[:1].upper() + text[1:]


def pick(key: str, count: int) -> int:
    """A choice in ``range(count)`` that depends on ``key`` alone, on every machine."""
    return zlib.crc32(key.encode()) % count


def words_of(thing: Thing) -> dict[str, str]:
    """What the forms may speak of: the facts, the name with articles, ``a_kind`` and the like."""
    words = {"name": thing.name, "a": thing.a, "the": thing.the}
    words |= {"A": capital(thing.a), "The": capital(thing.the)}
    words |= {f"a_{column}": facts.an(value) for column, value in thing.facts.items()}
    return words | dict(thing.facts)


def thing_facts(thing: Thing) -> Iterator[Fact]:
    """Every table fact of ``thing``, and yes/no questions on its colour where it has one."""
    words = words_of(thing)
    for relation, (answer, short, follow, questions) in RELATIONS[thing.group].items():
        asked = tuple(question.format_map(words) for question in questions.split("/"))
        said = short.format_map(words)
        key = said.removeprefix("It ").removeprefix("The ").removeprefix("To ")
        yield Fact(
            thing.group,
            thing.the,
            relation,
            answer.format_map(words),
            f"{capital(said)}.",
            key.removeprefix("With "),
            asked,
            follow,
        )
    colour = thing.facts.get("colour", "")
    if colour:
        others = ("red", "blue", "green", "yellow", "white", "brown", "black")
        other = others[pick(thing.name, len(others))]
        same = other == colour or other in colour
        wrong = "pink" if same else other
        for named, verdict in ((colour, "Yes"), (wrong, "No")):
            yield Fact(
                thing.group,
                thing.the,
                f"is {named}",
                f"{verdict}, {thing.the} is {colour}.",
                f"{verdict}.",
                colour,
                (
                    f"Is {thing.the} {named}?",
                    f"Is it true that {thing.the} is {named}?",
                    f"Is {thing.a} {named}?",
                    f"Would you say that {thing.the} is {named}?",
                ),
                f"Is it {named}?",
            )


def comparisons() -> Iterator[Fact]:
    """Which of two animals, plants or vehicles is bigger or smaller, for pairs of unequal rank."""
    for group in (facts.ANIMALS, facts.PLANTS, facts.VEHICLES):
        for index, one in enumerate(group):
            for other in group[index + 1 :]:
                gap = int(one.facts["rank"]) - int(other.facts["rank"])
                if abs(gap) < 2:
                    continue
                big, small = (one, other) if gap > 0 else (other, one)
                pair = f"the {one.name} or the {other.name}"
                back = f"the {other.name} or the {one.name}"
                for word, first, second in (("bigger", big, small), ("smaller", small, big)):
                    yield Fact(
                        "comparison",
                        one.name,
                        word,
                        f"The {first.name} is {word} than the {second.name}.",
                        f"The {first.name}.",
                        first.name,
                        (
                            f"Which is {word}, {pair}?",
                            f"What is {word}, {back}?",
                            f"Tell me which is {word}: {pair}.",
                        ),
                    )


def sums() -> Iterator[Fact]:
    """Additions and subtractions within twenty, products up to ten times ten."""
    cases = [(a, "plus", "+", b, a + b) for a in range(21) for b in range(21)]
    cases += [(a, "minus", "-", b, a - b) for a in range(21) for b in range(a + 1)]
    cases += [(a, "times", "*", b, a * b) for a in range(11) for b in range(11)]
    for a, word, sign, b, result in cases:
        questions = (
            f"What is {a} {word} {b}?",
            f"How much is {a} {word} {b}?",
            f"What is {a} {sign} {b}?",
            f"{a} {sign} {b} = ?",
            f"Can you work out {a} {word} {b}?",
        )
        answer = f"{a} {word} {b} is {result}."
        yield Fact("sum", str(a), word, answer, f"{result}.", answer, questions)


def spellings() -> Iterator[Fact]:
    """Every thing and opposite, letter by letter, with its first letter and its length."""
    words = [thing.name for thing in facts.THINGS]
    words += [word for pair in facts.OPPOSITES for word in pair]
    for word in dict.fromkeys(words):
        letters = "-".join(word)
        asked = (
            f"Spell {word}.",
            f"How do you spell {word}?",
            f"Spell the word {word}.",
            f"Can you spell {word}?",
            f"Please spell {word} for me.",
        )
        yield Fact(
            "spelling", word, "spell", letters, letters, letters, asked, "How do you spell it?"
        )
        first = word[0].upper()
        begun = (
            f"What is the first letter of {word}?",
            f"With which letter does {word} begin?",
            f"What letter does the word {word} start with?",
        )
        sentence = f"The first letter of {word} is {first}."
        yield Fact("spelling", word, "first", sentence, f"{first}.", sentence, begun)


def sequences() -> Iterator[Fact]:
    """What comes before and after a day, a month, a letter, a number up to a hundred."""
    alphabet = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    numbers = tuple(str(number) for number in range(101))
    for noun, row in (
        ("day", facts.DAYS),
        ("month", facts.MONTHS),
        ("letter", alphabet),
        ("number", numbers),
    ):
        for before, after in pairwise(row):
            for word, asked, said in (("after", before, after), ("before", after, before)):
                yield Fact(
                    "sequence",
                    asked,
                    word,
                    f"{said} comes {word} {asked}.",
                    f"{said}.",
                    f"{said} comes {word} {asked}",
                    (
                        f"What comes {word} {asked}?",
                        f"Which {noun} comes {word} {asked}?",
                        f"Tell me the {noun} {word} {asked}.",
                        f"What is the {noun} {word} {asked}?",
                    ),
                )


def opposites() -> Iterator[Fact]:
    """The opposite of each word of a pair, both ways."""
    for one, other in facts.OPPOSITES:
        for word, against in ((one, other), (other, one)):
            yield Fact(
                "opposite",
                word,
                "opposite",
                f"The opposite of {word} is {against}.",
                f"{capital(against)}.",
                against,
                (
                    f"What is the opposite of {word}?",
                    f"Tell me the opposite of {word}.",
                    f"Which word is the opposite of {word}?",
                    f"Give me the opposite of {word}.",
                    f"What word means the opposite of {word}?",
                ),
            )
