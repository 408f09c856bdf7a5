"""The questions of the starter world: every fact with its phrasings and its one right answer.

Knows how the tables of ``facts.py`` are asked about and answered. Does not know which questions are
held out, how conversations are put together, or what a system message changes (``world.py``).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from engine.starter import facts
from engine.starter.facts import Thing


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


# relation: (answer, short, follow-up question, questions separated by /)
_Relations = dict[str, tuple[str, str, str, str]]

_HAS_COLOUR = (
    "The {name} is {colour}.",
    "{colour}",
    "What colour is it?",
    "What colour is the {name}?/What color is the {name}?/What colour is {a}?/"
    "Which colour does the {name} have?/Tell me the colour of the {name}./What color is {a}?",
)
_HAS_KIND = (
    "{A} is {a_kind}.",
    "{kind}",
    "What is it?",
    "What is {a}?/What kind of thing is {a}?/What sort of thing is the {name}?/"
    "Do you know what {a} is?/Explain what {a} is.",
)
_HAS_SIZE = (
    "The {name} is {size}.",
    "{size}",
    "How big is it?",
    "How big is the {name}?/How big is {a}?/What size is the {name}?/What size does {a} have?/"
    "Is the {name} big or small?",
)

_RELATIONS: dict[str, _Relations] = {
    "animal": {
        "kind": _HAS_KIND,
        "colour": _HAS_COLOUR,
        "size": _HAS_SIZE,
        "home": (
            "The {name} lives {home}.",
            "{home}",
            "Where does it live?",
            "Where does the {name} live?/Where does {a} live?/Where can I find {a}?/"
            "What is the home of the {name}?/In which place does the {name} live?",
        ),
        "food": (
            "The {name} eats {food}.",
            "{food}",
            "What does it eat?",
            "What does the {name} eat?/What does {a} eat?/What does {a} like to eat?/"
            "What is the food of the {name}?/Which food does the {name} like?",
        ),
        "sound": (
            "The {name} {sound}.",
            "It {sound}",
            "What sound does it make?",
            "What sound does the {name} make?/What sound does {a} make?/"
            "What noise does the {name} make?/Which sound do you hear from {a}?/"
            "How does the {name} sound?",
        ),
        "can": (
            "The {name} can {can}.",
            "{can}",
            "What can it do?",
            "What can the {name} do?/What can {a} do?/What is the {name} able to do?/"
            "What is {a} good at?/Name one thing that the {name} can do.",
        ),
    },
    "food": {
        "kind": _HAS_KIND,
        "colour": _HAS_COLOUR,
        "taste": (
            "The taste of {name} is {taste}.",
            "{taste}",
            "How does it taste?",
            "How does {name} taste?/What does {name} taste like?/What is the taste of {name}?/"
            "Which taste does {name} have?/Describe the taste of {name}.",
        ),
        "shape": (
            "The shape of {name} is {shape}.",
            "{shape}",
            "What shape does it have?",
            "What shape does {name} have?/What is the shape of {name}?/Which shape has {name}?/"
            "Describe the shape of {name}./Tell me the shape of {name}.",
        ),
        "source": (
            "{Name} {source}.",
            "It {source}",
            "Where does it come from?",
            "Where does {name} come from?/How do we get {name}?/What is the source of {name}?/"
            "Where do people get {name} from?/Tell me where {name} comes from.",
        ),
    },
    "tool": {
        "kind": _HAS_KIND,
        "use": (
            "You use the {name} to {use}.",
            "To {use}",
            "What do you do with it?",
            "What do you do with the {name}?/What is the {name} for?/What is the use of the {name}?/"
            "What can I do with the {name}?/Why do people use the {name}?",
        ),
        "material": (
            "The {name} is made of {material}.",
            "{material}",
            "What is it made of?",
            "What is the {name} made of?/Which material is the {name} made of?/"
            "What is the material of the {name}?/Tell me what the {name} is made of./"
            "From what do people make the {name}?",
        ),
        "owner": (
            "The {owner} uses the {name}.",
            "The {owner}",
            "Who uses it?",
            "Who uses the {name}?/Who works with the {name}?/Who needs the {name}?/"
            "Which person uses the {name}?/Tell me who uses the {name}.",
        ),
        "place": (
            "The {name} is {place}.",
            "{place}",
            "Where is it?",
            "Where is the {name}?/Where do I find the {name}?/Where do you keep the {name}?/"
            "In which place is the {name}?/Where should I look for the {name}?",
        ),
    },
    "plant": {
        "kind": _HAS_KIND,
        "colour": _HAS_COLOUR,
        "size": _HAS_SIZE,
        "home": (
            "The {name} grows {home}.",
            "{home}",
            "Where does it grow?",
            "Where does the {name} grow?/Where does {a} grow?/Where can I see {a}?/"
            "In which place does the {name} grow?/What is the home of the {name}?",
        ),
        "season": (
            "The {name} looks best {season}.",
            "{season}",
            "When does it look best?",
            "When does the {name} look best?/When is the {name} at its best?/"
            "What is the best time for the {name}?/When should I look at the {name}?/"
            "In which season does the {name} look best?",
        ),
    },
    "vehicle": {
        "kind": _HAS_KIND,
        "colour": _HAS_COLOUR,
        "size": _HAS_SIZE,
        "place": (
            "The {name} moves {place}.",
            "{place}",
            "Where does it move?",
            "Where does the {name} move?/Where does {a} move?/Where does the {name} go?/"
            "Where can I see {a}?/In which place does the {name} move?",
        ),
        "use": (
            "People use the {name} to {use}.",
            "To {use}",
            "What is it for?",
            "What is the {name} for?/Why do people use the {name}?/What do you do with {a}?/"
            "What is the use of the {name}?/What do people do with the {name}?",
        ),
        "wheels": (
            "The {name} has {wheels} wheels.",
            "{wheels}",
            "How many wheels does it have?",
            "How many wheels does the {name} have?/How many wheels does {a} have?/"
            "How many wheels are on the {name}?/Count the wheels of the {name}./"
            "Tell me how many wheels the {name} has.",
        ),
    },
    "job": {
        "does": (
            "The {name} {does}.",
            "The {name} {does}",
            "What does this person do?",
            "What does the {name} do?/What does {a} do?/What is the work of the {name}?/"
            "What is the job of {a}?/Tell me what the {name} does.",
        ),
        "place": (
            "The {name} works {place}.",
            "{place}",
            "Where does this person work?",
            "Where does the {name} work?/Where does {a} work?/Where can I meet {a}?/"
            "In which place does the {name} work?/Tell me where the {name} works.",
        ),
        "tool": (
            "The {name} works with {tool}.",
            "With {tool}",
            "What does this person work with?",
            "What does the {name} work with?/What does {a} work with?/"
            "Which tool does the {name} need?/What is the tool of the {name}?/"
            "Tell me what the {name} works with.",
        ),
    },
    "country": {
        "capital": (
            "The capital of {name} is {capital}.",
            "{capital}",
            "What is its capital?",
            "What is the capital of {name}?/Which city is the capital of {name}?/"
            "Tell me the capital of {name}./Name the capital of {name}./"
            "What is the capital city of {name}?",
        ),
        "country": (
            "{capital} is the capital of {name}.",
            "{name}",
            "",
            "Which country has the capital {capital}?/{capital} is the capital of which country?/"
            "Of which country is {capital} the capital?/In which country is {capital}?/"
            "Where is {capital}?",
        ),
        "river": (
            "The {river} flows through {name}.",
            "The {river}",
            "Which river flows through it?",
            "Which river flows through {name}?/What river is in {name}?/Name a river in {name}./"
            "Tell me a river in {name}./What is a river of {name}?",
        ),
        "continent": (
            "{name} is in {continent}.",
            "{continent}",
            "On which continent is it?",
            "On which continent is {name}?/Where is {name}?/What continent is {name} in?/"
            "Where in the world is {name}?/Tell me the continent of {name}.",
        ),
        "language": (
            "People in {name} speak {language}.",
            "{language}",
            "Which language do people speak there?",
            "Which language do people speak in {name}?/What language is spoken in {name}?/"
            "What do people speak in {name}?/What is the language of {name}?/"
            "Tell me the language of {name}.",
        ),
        "famous": (
            "{name} is famous for {famous}.",
            "{famous}",
            "What is it famous for?",
            "What is {name} famous for?/What is {name} known for?/Why is {name} famous?/"
            "For what is {name} famous?/Tell me what {name} is famous for.",
        ),
    },
}


def capital(text: str) -> str:
    """``text`` with a capital first letter and the rest untouched."""
    return text[:1].upper() + text[1:]


def pick(key: str, count: int) -> int:
    """A choice in ``range(count)`` that depends on ``key`` alone, on every machine."""
    return zlib.crc32(key.encode()) % count


def _an(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _words(thing: Thing) -> dict[str, str]:
    words = dict(thing.facts)
    words |= {"name": thing.name, "Name": capital(thing.name), "a": thing.a, "A": capital(thing.a)}
    words["a_kind"] = _an(thing.facts["kind"]) if "kind" in thing.facts else ""
    return words


def thing_facts(thing: Thing) -> Iterator[Fact]:
    """Every table fact of ``thing``, and yes/no questions on its colour where it has one."""
    words = _words(thing)
    for relation, (answer, short, follow, questions) in _RELATIONS[thing.group].items():
        asked = tuple(question.format_map(words) for question in questions.split("/"))
        said = short.format_map(words)
        key = said.removeprefix("It ").removeprefix("The ").removeprefix("To ")
        yield Fact(
            thing.group,
            thing.name,
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
                thing.name,
                f"is {named}",
                f"{verdict}, the {thing.name} is {colour}.",
                f"{verdict}.",
                colour,
                (
                    f"Is the {thing.name} {named}?",
                    f"Is it true that the {thing.name} is {named}?",
                    f"Is {thing.a} {named}?",
                    f"Would you say that the {thing.name} is {named}?",
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
        asked = (
            f"What is the first letter of {word}?",
            f"With which letter does {word} begin?",
            f"What letter does the word {word} start with?",
        )
        sentence = f"The first letter of {word} is {first}."
        yield Fact("spelling", word, "first", sentence, f"{first}.", sentence, asked)


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
        for before, after in zip(row, row[1:], strict=False):
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
