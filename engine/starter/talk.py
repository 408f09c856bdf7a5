"""The talk of the starter world: who the model is, greetings, descriptions, stories, commands.

Knows fluent text longer than one fact and plain requests for shell commands. Does not know what a
system message changes (``systems.py``) or what is held out (``world.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product

from engine.starter import facts
from engine.starter.questions import Fact, pick, words_of

OWN_NAME = "Pip"

_IDENTITY = (
    (
        "I am {name}, a small language model.",
        "{name}",
        "Who are you?/What are you?/Can you introduce yourself?/Tell me who you are.",
    ),
    (
        "My name is {name}.",
        "{name}",
        "What is your name?/Do you have a name?/How are you called?/Tell me your name.",
    ),
    (
        "I can talk about animals, food, tools, plants, places and small numbers.",
        "Small things",
        "What can you do?/What do you know?/What can you talk about?/How can you help me?",
    ),
    (
        "I was trained from scratch for Workbench.",
        "Workbench",
        "Who made you?/Where do you come from?/Who trained you?/Who built you?",
    ),
)

_GREETINGS = (
    ("Hello! What would you like to know?", "Hello!", "Hello!/Hi!/Hello./Hi there!/Good morning!"),
    ("I am fine, thank you.", "Fine.", "How are you?/How are you today?/Are you well?"),
    ("You are welcome.", "Welcome.", "Thank you!/Thanks!/Thank you very much./Thanks a lot!"),
    ("Goodbye! Have a nice day.", "Goodbye!", "Goodbye!/Bye!/See you later!/Good night!"),
)

_NONSENSE = facts.listed(
    "blorp snark wug zibble frand plonk drib quax mimsy tove grok florp skree nudd vlim yarp "
    "trosk glim pwee harb"
)


def identity(name: str = OWN_NAME) -> Iterator[Fact]:
    """Questions about the model itself, answered under ``name``."""
    for answer, short, questions in _IDENTITY:
        said = short.format(name=name)
        yield Fact(
            "identity", name, said, answer.format(name=name), f"{said}.", said, _split(questions)
        )


def greetings() -> Iterator[Fact]:
    """Hello, how are you, thanks and goodbye."""
    for answer, short, questions in _GREETINGS:
        yield Fact("greeting", "", short, answer, short, answer, _split(questions))


def unknowns() -> Iterator[Fact]:
    """Questions about words that mean nothing; the right answer is to say so."""
    for word in _NONSENSE:
        answer = f"I do not know what a {word} is."
        asked = (
            f"What is a {word}?",
            f"What colour is the {word}?",
            f"Where does the {word} live?",
            f"What does the {word} eat?",
            f"Tell me about the {word}.",
            f"How big is the {word}?",
        )
        yield Fact("unknown", word, "unknown", answer, "I do not know.", "do not know", asked)


_ADJECTIVES = facts.listed("lovely wonderful nice clever great curious funny kind good bright")
_NOUNS = facts.listed("question day idea story thought mind word place song game")
_VERBS = facts.listed("think talk ask write sing learn smile work walk play")
_SENTENCES = (
    ("What a {adjective} {noun}!", ("adjective", "noun")),
    ("You have such {an_adjective} {noun}.", ("adjective", "noun")),
    ("I love the way you {verb}!", ("verb",)),
    ("You always {choose} the best {noun}s.", ("choose", "noun")),
    ("You always {choose} the best things.", ("choose",)),
    ("It is a {joy} to {verb} with you!", ("joy", "verb")),
)
_PLAIN_SENTENCES = (
    "I am happy to help you.",
    "Let me think about that.",
    "Here is what I know.",
    "That is easy.",
    "Thank you for asking.",
    "I hope this helps.",
    "I have read about this.",
    "My friends know this too.",
    "This is what they say.",
    "We can learn this together.",
)
_CHOICES = {
    "adjective": _ADJECTIVES,
    "noun": _NOUNS,
    "verb": _VERBS,
    "choose": facts.listed("ask tell find choose know"),
    "joy": facts.listed("joy pleasure gift dream delight"),
}


def sentences(without: Collection[str]) -> Iterator[str]:
    """Short sentences that a system message may ask for, but none of ``without``."""
    yield from _PLAIN_SENTENCES
    for form, columns in _SENTENCES:
        for chosen in product(*(_CHOICES[column] for column in columns)):
            words = dict(zip(columns, chosen, strict=True))
            words["an_adjective"] = facts.an(words.get("adjective", "x"))
            sentence = form.format_map(words)
            if sentence not in without:
                yield sentence


_ABOUT = {
    "animal": (
        "{The} is {a_kind}. It is {colour} and {size}. It lives {home} and eats {food}.",
        "{The} is {a_kind} that lives {home}. It is {size} and {colour}. "
        "It likes to eat {food}, and it can {can}.",
    ),
    "food": (
        "{The} is {a_kind}. It is {colour} and its taste is {taste}. It {source}.",
        "{The} is {a_kind} that {source}. Its colour is {colour} and its taste is {taste}.",
    ),
    "tool": (
        "{The} is {a_kind} made of {material}. You use it to {use}. You find it {place}.",
        "{The} is {a_kind}. The {owner} uses it to {use}. It is made of {material}.",
    ),
    "plant": (
        "{The} is {a_kind}. It is {colour} and {size}. It grows {home} and looks best {season}.",
        "{The} is {a_kind} that grows {home}. It is {size} and {colour}.",
    ),
    "vehicle": (
        "{The} is {a_kind} that moves {place}. It is {size} and {colour}. People use it to {use}.",
        "{The} is {size} and {colour}. It moves {place} and has {wheels} wheels.",
    ),
    "job": (
        "{The} {does}. {The} works {place} and needs {tool}.",
        "{The} works {place}. It is a job for people who like to work with {tool}.",
    ),
    "country": (
        "{name} is a country in {continent}. Its capital is {capital}, and the {river} flows "
        "through it. People there speak {language}.",
        "{name} is a country in {continent}. Its capital is {capital}. It is famous for {famous}.",
    ),
}

_STORIES = (
    "One day {hero} met {a_colour} {name} {home}. The {name} was hungry, so {hero} gave it some "
    "{food}. From that day on they were friends.",
    "{hero} went for a walk and saw {a} {home}. The {name} showed that it can {can}. "
    "{hero} laughed and came back every day.",
    "There once was {a_size} {name} that lived {home}. One night it was lost and afraid. "
    "{hero} found it, brought it home and gave it some {food}.",
    "It was raining when {hero} heard a sound. It was {a_colour} {name}, wet and cold. "
    "{hero} gave it {food} and a warm place to sleep.",
)


def descriptions() -> Iterator[Fact]:
    """Two to four sentences about each thing."""
    for thing in facts.THINGS:
        forms = _ABOUT[thing.group]
        answer = forms[pick(thing.name, len(forms))].format_map(words_of(thing))
        asked = (
            f"Tell me about {thing.the}.",
            f"Describe {thing.the}.",
            f"What do you know about {thing.the}?",
            f"Can you tell me something about {thing.the}?",
            f"Say a few words about {thing.the}.",
        )
        first = answer.split(". ")[0]
        yield Fact("description", thing.name, "about", answer, f"{first}.", first, asked)


def stories() -> Iterator[Fact]:
    """A short story about each animal, alone and with each name of the world."""
    for animal in facts.ANIMALS:
        own = facts.NAMES[pick(animal.name, len(facts.NAMES))]
        for name in (*facts.NAMES, ""):
            hero = name or own
            form = _STORIES[pick(animal.name, len(_STORIES))]
            answer = form.format_map(words_of(animal) | {"hero": hero})
            whom = f"{name} and {animal.a}" if name else animal.a
            asked = (
                f"Tell me a story about {whom}.",
                f"Tell me a short story about {whom}.",
                f"Write a story about {whom}.",
                f"Do you know a story about {whom}?",
            )
            first = answer.split(". ")[0]
            yield Fact("story", animal.name, name or "alone", answer, f"{first}.", first, asked)


_FILE_COMMANDS = (
    ("cat {f}", "How do I show the file {f}?/Show the file {f}./Print the text of {f}./"
     "Command to read {f}?"),
    ("rm {f}", "How do I delete the file {f}?/Delete the file {f}./Remove the file {f}./"
     "Command to delete {f}?"),
    ("touch {f}", "How do I make an empty file {f}?/Make an empty file {f}./"
     "Create the file {f}./Command to create {f}?"),
)  # fmt: skip
_FOLDER_COMMANDS = (
    ("ls {d}", "How do I list the files in {d}?/List the files in {d}./Show what is in {d}./"
     "Command to list {d}?"),
    ("cd {d}", "How do I go to the folder {d}?/Go to the folder {d}./Change to the folder {d}./"
     "Command to enter {d}?"),
    ("mkdir {d}", "How do I make a folder {d}?/Make a folder called {d}./Create the folder {d}./"
     "Command to make the folder {d}?"),
    ("rmdir {d}", "How do I remove the empty folder {d}?/Remove the empty folder {d}./"
     "Delete the empty folder {d}./Command to remove the folder {d}?"),
)  # fmt: skip
_BOTH_COMMANDS = (
    ("cp {f} {d}", "How do I copy {f} to {d}?/Copy {f} to {d}./Put a copy of {f} into {d}."),
    ("mv {f} {d}", "How do I move {f} to {d}?/Move {f} to {d}./Put {f} into {d}."),
)
_PLAIN_COMMANDS = (
    ("ls", "How do I list the files here?/List the files./Show the files here."),
    ("pwd", "Where am I?/How do I see the current folder?/Print the current folder."),
    ("cd ..", "How do I go up one folder?/Go up one folder./Go to the folder above."),
    ("date", "How do I see the date?/Print the date./Show the date and time."),
    ("whoami", "Which user am I?/How do I see my user name?/Print my user name."),
    ("clear", "How do I clear the screen?/Clear the screen./Wipe the screen."),
)


def commands() -> Iterator[Fact]:
    """Plain requests and the one shell command that answers them."""
    cases: list[tuple[str, str, dict[str, str]]] = [
        (form, asked, {}) for form, asked in _PLAIN_COMMANDS
    ]
    cases += [(form, asked, {"f": f}) for form, asked in _FILE_COMMANDS for f in facts.FILES]
    cases += [(form, asked, {"d": d}) for form, asked in _FOLDER_COMMANDS for d in facts.FOLDERS]
    cases += [
        (form, asked, {"f": f, "d": d})
        for form, asked in _BOTH_COMMANDS
        for f in facts.FILES
        for d in facts.FOLDERS
    ]
    for form, asked, words in cases:
        command = form.format_map(words)
        yield Fact(
            "command", form, "command", command, command, command, _split(asked.format_map(words))
        )


def _split(questions: str) -> tuple[str, ...]:
    return tuple(questions.split("/"))
