"""How the columns of the fact tables are asked about and answered, as forms to fill in.

Knows wordings only. Does not know the facts (``facts.py``) or how forms are filled in
(``questions.py``).
"""

from __future__ import annotations

# relation: (answer, short, follow-up question, questions separated by /)
Relations = dict[str, tuple[str, str, str, str]]

_HAS_COLOUR = (
    "{The} is {colour}.",
    "{colour}",
    "What colour is it?",
    "What colour is {the}?/What color is {the}?/What colour is {a}?/"
    "Which colour does {the} have?/Tell me the colour of {the}./What color is {a}?",
)
_HAS_KIND = (
    "{A} is {a_kind}.",
    "{kind}",
    "What is it?",
    "What is {a}?/What kind of thing is {a}?/What sort of thing is {the}?/"
    "Do you know what {a} is?/Explain what {a} is.",
)
_HAS_SIZE = (
    "{The} is {size}.",
    "{size}",
    "How big is it?",
    "How big is {the}?/How big is {a}?/What size is {the}?/What size does {a} have?/"
    "Is {the} big or small?",
)

RELATIONS: dict[str, Relations] = {
    "animal": {
        "kind": _HAS_KIND,
        "colour": _HAS_COLOUR,
        "size": _HAS_SIZE,
        "home": (
            "{The} lives {home}.",
            "{home}",
            "Where does it live?",
            "Where does {the} live?/Where does {a} live?/Where can I find {a}?/"
            "What is the home of {the}?/In which place does {the} live?",
        ),
        "food": (
            "{The} eats {food}.",
            "{food}",
            "What does it eat?",
            "What does {the} eat?/What does {a} eat?/What does {a} like to eat?/"
            "What is the food of {the}?/Which food does {the} like?",
        ),
        "sound": (
            "{The} {sound}.",
            "It {sound}",
            "What sound does it make?",
            "What sound does {the} make?/What sound does {a} make?/"
            "What noise does {the} make?/Which sound do you hear from {a}?/"
            "How does {the} sound?",
        ),
        "can": (
            "{The} can {can}.",
            "{can}",
            "What can it do?",
            "What can {the} do?/What can {a} do?/What is {the} able to do?/"
            "What is {a} good at?/Name one thing that {the} can do.",
        ),
    },
    "food": {
        "kind": _HAS_KIND,
        "colour": _HAS_COLOUR,
        "taste": (
            "The taste of {the} is {taste}.",
            "{taste}",
            "How does it taste?",
            "How does {the} taste?/What does {the} taste like?/What is the taste of {the}?/"
            "Which taste does {the} have?/Describe the taste of {the}.",
        ),
        "shape": (
            "The shape of {the} is {shape}.",
            "{shape}",
            "What shape does it have?",
            "What shape does {the} have?/What is the shape of {the}?/"
            "In which shape does {the} come?/"
            "Describe the shape of {the}./Tell me the shape of {the}.",
        ),
        "source": (
            "{The} {source}.",
            "It {source}",
            "Where does it come from?",
            "Where does {the} come from?/How do we get {the}?/What is the source of {the}?/"
            "Where do people get {the} from?/Tell me where {the} comes from.",
        ),
    },
    "tool": {
        "kind": _HAS_KIND,
        "use": (
            "You use {the} to {use}.",
            "To {use}",
            "What do you do with it?",
            "What do you do with {the}?/What is {the} for?/What is the use of {the}?/"
            "What can I do with {the}?/Why do people use {the}?",
        ),
        "material": (
            "{The} is made of {material}.",
            "{material}",
            "What is it made of?",
            "What is {the} made of?/Which material is {the} made of?/"
            "What is the material of {the}?/Tell me what {the} is made of./"
            "From what do people make {the}?",
        ),
        "owner": (
            "The {owner} uses {the}.",
            "The {owner}",
            "Who uses it?",
            "Who uses {the}?/Who works with {the}?/Who needs {the}?/"
            "Which person uses {the}?/Tell me who uses {the}.",
        ),
        "place": (
            "{The} is {place}.",
            "{place}",
            "Where is it?",
            "Where is {the}?/Where do I find {the}?/Where do you keep {the}?/"
            "In which place is {the}?/Where should I look for {the}?",
        ),
    },
    "plant": {
        "kind": _HAS_KIND,
        "colour": _HAS_COLOUR,
        "size": _HAS_SIZE,
        "home": (
            "{The} grows {home}.",
            "{home}",
            "Where does it grow?",
            "Where does {the} grow?/Where does {a} grow?/Where can I see {a}?/"
            "In which place does {the} grow?/What is the home of {the}?",
        ),
        "season": (
            "{The} looks best {season}.",
            "{season}",
            "When does it look best?",
            "When does {the} look best?/When is {the} at its best?/"
            "What is the best time for {the}?/When should I look at {the}?/"
            "In which season does {the} look best?",
        ),
    },
    "vehicle": {
        "kind": _HAS_KIND,
        "colour": _HAS_COLOUR,
        "size": _HAS_SIZE,
        "place": (
            "{The} moves {place}.",
            "{place}",
            "Where does it move?",
            "Where does {the} move?/Where does {a} move?/Where does {the} go?/"
            "Where can I see {a}?/In which place does {the} move?",
        ),
        "use": (
            "People use {the} to {use}.",
            "To {use}",
            "What is it for?",
            "What is {the} for?/Why do people use {the}?/What do you do with {a}?/"
            "What is the use of {the}?/What do people do with {the}?",
        ),
        "wheels": (
            "{The} has {wheels} wheels.",
            "{wheels}",
            "How many wheels does it have?",
            "How many wheels does {the} have?/How many wheels does {a} have?/"
            "How many wheels are on {the}?/Count the wheels of {the}./"
            "Tell me how many wheels {the} has.",
        ),
    },
    "job": {
        "does": (
            "{The} {does}.",
            "{The} {does}",
            "What does this person do?",
            "What does {the} do?/What does {a} do?/What is the work of {the}?/"
            "What is the job of {a}?/Tell me what {the} does.",
        ),
        "place": (
            "{The} works {place}.",
            "{place}",
            "Where does this person work?",
            "Where does {the} work?/Where does {a} work?/Where can I meet {a}?/"
            "In which place does {the} work?/Tell me where {the} works.",
        ),
        "tool": (
            "{The} works with {tool}.",
            "With {tool}",
            "What does this person work with?",
            "What does {the} work with?/What does {a} work with?/"
            "Which tool does {the} need?/What is the tool of {the}?/"
            "Tell me what {the} works with.",
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
