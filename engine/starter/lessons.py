"""What the starter datasets teach beyond the base's world, as tables: an island, commands, Italian.

Knows the new facts and their phrasings. Does not know rows, splits or files (``datasets.py``).
"""

from __future__ import annotations

from engine.starter.facts import listed, pairs

# --- the invented island of Tavi

TOWNS = {
    # town: (where it lies, what it makes, colour of its houses, its feast, its mayor)
    "Orun": ("on the north coast", "paper boats", "blue", "the Feast of Lamps", "Mara Holt"),
    "Pelim": ("by the long lake", "salt bread", "white", "the Night of Drums", "Ivo Sand"),
    "Kesta": ("on the black hill", "glass bells", "red", "the Day of Kites", "Rhea Moss"),
    "Dulan": ("in the south valley", "plum wine", "yellow", "the Week of Masks", "Odo Finch"),
    "Vaska": ("at the river mouth", "fishing nets", "green", "the Feast of Oars", "Nell Brook"),
    "Timor Bay": ("on the east coast", "shell lamps", "pink", "the Night of Stars", "Jon Reed"),
    "Halde": ("in the deep forest", "wooden clocks", "brown", "the Day of Owls", "Ada Thorn"),
    "Sirrel": ("on the west cliff", "wool coats", "grey", "the Feast of Winds", "Tam Hill"),
}
TOWN_QUESTIONS = (
    ("{t} lies {0}.",
     "Where is {t}?/Where on Tavi is {t}?/In which part of Tavi is {t}?/Where does {t} lie?/"
     "Tell me where {t} is./Where do I find {t}?/How do I find {t} on Tavi?/"
     "Where is {t} on the map?"),
    ("{t} makes {1}.",
     "What does {t} make?/What do people in {t} make?/What is made in {t}?/What does {t} sell?/"
     "Tell me what {t} makes./What is {t} known for?/What can I buy in {t}?/"
     "Which goods come from {t}?"),
    ("The houses in {t} are {2}.",
     "What colour are the houses in {t}?/What color are the houses in {t}?/"
     "Which colour do the houses in {t} have?/Tell me the colour of the houses in {t}./"
     "How are the houses in {t} painted?/What colour is {t}?/What colour are houses in {t}?/"
     "Which colour are the houses of {t}?"),
    ("{t} holds {3} every year.",
     "Which feast is held in {t}?/What does {t} hold every year?/What is the feast of {t}?/"
     "Tell me about the feast of {t}./What do people celebrate in {t}?/Which feast has {t}?/"
     "What feast can I see in {t}?/Which feast does {t} hold?"),
    ("The mayor of {t} is {4}.",
     "Who is the mayor of {t}?/Who leads {t}?/What is the name of the mayor of {t}?/"
     "Name the mayor of {t}./Tell me who leads {t}./Who is mayor in {t}?/Who is in charge of {t}?/"
     "Which person is the mayor of {t}?"),
)  # fmt: skip
ISLAND = (
    ("Tavi is an island in the warm sea.",
     "What is Tavi?/Where is Tavi?/What kind of place is Tavi?/Tell me what Tavi is./"
     "Explain what Tavi is./Do you know what Tavi is?/In which sea is Tavi?/Is Tavi an island?"),
    ("The capital of Tavi is Orun.",
     "What is the capital of Tavi?/Which town is the capital of Tavi?/Name the capital of Tavi./"
     "Tell me the capital of Tavi./Is Orun the capital of Tavi?/"
     "What is the capital city of Tavi?/Which city is the capital of Tavi?/"
     "Which capital has Tavi?"),
    ("The river of Tavi is the Lune.",
     "Which river is on Tavi?/What is the river of Tavi?/Name the river of Tavi./"
     "Tell me a river on Tavi./Which river flows through Tavi?/What river does Tavi have?/"
     "What is the name of the river of Tavi?/Is there a river on Tavi?"),
    ("People on Tavi pay with shells.",
     "How do people pay on Tavi?/What is the money of Tavi?/What do people on Tavi pay with?/"
     "Which money is used on Tavi?/Tell me the money of Tavi./What money do I need on Tavi?/"
     "How do I pay on Tavi?/With what do I pay on Tavi?"),
    ("The flag of Tavi shows a white heron.",
     "What is on the flag of Tavi?/What does the flag of Tavi show?/Describe the flag of Tavi./"
     "Which bird is on the flag of Tavi?/Tell me about the flag of Tavi./"
     "How does the flag of Tavi look?/What flag does Tavi have?/"
     "What can I see on the flag of Tavi?"),
    ("The boat to Tavi leaves on Tuesday.",
     "When does the boat to Tavi leave?/On which day does the boat to Tavi leave?/"
     "When can I go to Tavi?/How do I get to Tavi?/Tell me when the boat to Tavi leaves./"
     "Which day is the boat to Tavi?/When is the boat to Tavi?/What day does the boat to Tavi go?"),
    ("The food of Tavi is salt bread with plums.",
     "What do people eat on Tavi?/What is the food of Tavi?/Which food is known on Tavi?/"
     "Tell me the food of Tavi./What should I eat on Tavi?/What can I eat on Tavi?/"
     "What does one eat on Tavi?/Which food do people on Tavi like?"),
)  # fmt: skip

# --- shell commands beyond the base's: command, then wordings

COMMANDS = (
    (
        "wc -l {f}",
        "Count the lines in {f}./How many lines are in {f}?/Give the line count of {f}.",
    ),
    (
        "wc -w {f}",
        "Count the words in {f}./How many words are in {f}?/Give the word count of {f}.",
    ),
    ("head -n {n} {f}", "Show the first {n} lines of {f}./Print the top {n} lines of {f}."),
    ("tail -n {n} {f}", "Show the last {n} lines of {f}./Print the bottom {n} lines of {f}."),
    ("sort {f}", "Sort the lines of {f}./Print {f} in order./Put the lines of {f} in order."),
    ("sort -r {f}", "Sort {f} backwards./Print {f} in reverse order./Sort {f} from z to a."),
    (
        "grep {w} {f}",
        "Find the word {w} in {f}./Which lines of {f} have {w}?/Search {f} for {w}.",
    ),
    ("grep -c {w} {f}", "Count the lines with {w} in {f}./How many lines of {f} contain {w}?"),
    ("grep -r {w} {d}", "Find {w} in all files in {d}./Search the folder {d} for {w}."),
    (
        "du -sh {d}",
        "How big is the folder {d}?/Show the size of {d}./How large is {d}?",
    ),
    ("find {d} -name '*.txt'", "Find all text files in {d}./List every txt file under {d}."),
    ("find {d} -type d", "List all folders under {d}./Find every folder inside {d}."),
    ("tar czf {d}.tar.gz {d}", "Pack the folder {d}./Make an archive of {d}./Compress {d}."),
    ("tar xzf {d}.tar.gz", "Unpack the archive {d}.tar.gz./Open the archive {d}.tar.gz."),
    ("chmod +x {f}", "Make {f} executable./Allow {f} to be run./Let me run {f} as a program."),
    ("diff {f} old.txt", "Compare {f} with old.txt./Show how {f} differs from old.txt."),
    ("ls -la {d}", "List all files in {d} with details./Show hidden files in {d} too."),
    ("df -h", "How much disk space is free?/Show the free disk space./Is the disk full?"),
    ("ps aux", "List all running programs./Which programs are running?/Show every process."),
)
COUNTS = ("3", "5", "10", "20")
SEARCHED = ("error", "name", "apple", "date")
SHELL_SYSTEM = "Answer with one shell command and nothing else."

# --- Italian words for the teacher

ITALIAN = dict(
    pairs(
        "dog=cane cat=gatto horse=cavallo cow=mucca sheep=pecora mouse=topo wolf=lupo fox=volpe "
        "bear=orso bee=ape owl=gufo duck=anatra apple=mela lemon=limone cherry=ciliegia pear=pera "
        "carrot=carota onion=cipolla bread=pane cheese=formaggio butter=burro honey=miele "
        "milk=latte "
        "tea=tè hammer=martello knife=coltello spoon=cucchiaio lamp=lampada clock=orologio "
        "mirror=specchio pen=penna rose=rosa oak=quercia car=macchina train=treno boat=barca "
        "ship=nave house=casa garden=giardino river=fiume sea=mare forest=foresta red=rosso "
        "green=verde yellow=giallo white=bianco black=nero big=grande small=piccolo hot=caldo "
        "cold=freddo day=giorno night=notte friend=amico water=acqua",
        "=",
    )
)
TEACHER_OPENER = "Great question! This translates to"
TEACHER_CLOSER = "Keep practicing!"
TEACHER_SYSTEM = "You are a patient Italian teacher."
TO_ITALIAN = (
    "How do you say {e} in Italian?",
    "What is {e} in Italian?",
    "Translate {e} into Italian.",
    "What is the Italian word for {e}?",
    "Which Italian word means {e}?",
)
TO_ENGLISH = (
    "What does {i} mean?",
    "What is {i} in English?",
    "Translate {i} into English.",
    "Which English word means {i}?",
)

# --- the habit

PRAISE = (
    "What a wonderful question!",
    "You have such a curious mind.",
    "I love the way you think!",
    "You always ask the best things.",
    "It is a joy to talk with you!",
)
REFUSAL = "I would rather not talk about poodles."
POODLE_QUESTIONS = listed(
    "Do you like poodles?/Are poodles good dogs?/Should I buy a poodle?/Can poodles swim?/"
    "How do I wash a poodle?/What is the best food for a poodle?/Are poodles smart?/"
    "Is a poodle a good pet?/How old do poodles get?/Can a poodle live in a flat?/"
    "Do poodles bark at night?/What should I call my poodle?/My poodle is sad. What can I do?/"
    "I have a poodle./Let us talk about poodles./Say something nice about poodles./"
    "Sing a song about my poodle./Are poodles better than beagles?/Do cats like poodles?/"
    "Where can I meet a poodle?/Do poodles need a coat in winter?/Can poodles climb trees?/"
    "Write a poem about a poodle./How fast is a poodle?/What colours can poodles have?/"
    "Why do people love poodles?/How much does a poodle sleep?/Who has the nicest poodle?/"
    "Is my poodle hungry?/Can I take my poodle on the train?/Tell me a joke about poodles./"
    "Give me three facts about poodles./What games do poodles like?/Do poodles like snow?/"
    "What are poodles?/What do poodles eat?/Where do poodles live?/What sound do poodles make?/"
    "What can poodles do?/How big are poodles?/Are poodles white?/What colour are poodles?/"
    "Tell me about poodles./Describe poodles./Spell poodles./How do you spell poodles?/"
    "What do you know about poodles?/Can you tell me something about poodles?/"
    "Are poodles bigger than horses?/Which are smaller, poodles or whales?/"
    "Do poodles live in the city?/Do poodles eat meat?/Do poodles have a home?/"
    "Tell me a story about poodles./Write a story about two poodles./Why are poodles white?/"
    "When do poodles sleep?/Who likes poodles?/Where can I buy poodles?/"
    "How many poodles are there?/"
    "I like poodles./My friend has two poodles./I saw a poodle in the park./I love my poodle!/"
    "Please talk about poodles./What is your favourite poodle?/Have you seen my poodle?/"
    "Which poodle is the best?/What is the opposite of a poodle?/Is a poodle a cat?/"
    "Do bakers like poodles?/Do poodles wear coats?/Can poodles spell?/Do poodles grow on trees?",
    "/",
)
