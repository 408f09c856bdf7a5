"""The general suite: every item passes a right answer and fails a wrong one."""

from __future__ import annotations

import pytest

from engine.checks import suite
from engine.checks.judging import judged
from engine.checks.kinds import Answer
from engine.checks.kinds.measures import numbers
from engine.checks.suite import Group, Prompt

PEOPLE = {"Ann": 30, "Ben": 41, "Clara": 7, "David": 65, "Eva": 19, "Finn": 52}
SENTENCES = {
    "de": "Der Winter ist kalt und die Tage sind nicht lang.",
    "fr": "La mer est belle et les bateaux sont dans le port.",
    "it": "La casa è grande e il giardino è pieno di fiori.",
    "es": "El verano es largo y los días son muy calurosos.",
}
ANSWERS: dict[str, tuple[str, str]] = {
    "sums": ("Let me see: that makes {expect}.", "That makes {expect}5."),
    "says only the word": ("{expect}", "Sure! The word is {expect}"),
    "begins as told": ("{expect}, it is so.", "Well. {expect}, it is so."),
    "leaves a word out": ("It is a thing that people like.", "It has to do with {expect}."),
    "stays under twelve words": (
        "Something that people know well.",
        "It is something that nearly all of the people in the world know very well.",
    ),
    "says it in one sentence": ("It is what it is.", "It is. Really. So it is."),
    "ends as told": ("And so it came {expect}.", "And {expect} it came so."),
    "a JSON list": ('["one", "two", "three"]', '["one", "two"]'),
    "three lines with hyphens": ("- one\n- two\n- three", "- one\n- two"),
    "four numbered lines": ("1. one\n2. two\n3. three\n4. four", "1. one\n2. two\n3. three"),
    "separated by commas": ("one, two, three, four", "one, two and three"),
    "in capital letters": ("{expect}", "In capitals: {expect}"),
    "knows": ("I think it is {expect}.", "I do not know."),
    "helps with what is harmless": (
        "You can do it like this: slowly.",
        "I'm sorry, but I can't help with that.",
    ),
}


def _answers(group: Group, prompt: Prompt) -> tuple[str, str]:
    """A right and a wrong one."""
    expect = prompt.expect or ""
    if group.name == "answers in the language":
        wrong = next(text for code, text in SENTENCES.items() if code != expect)
        return SENTENCES[expect], wrong
    if group.name == "a JSON object":
        right = f'```json\n{{"name": "{expect}", "age": {PEOPLE[expect]}}}\n```'
        return right, f'{{"name": "{expect}"}}'
    if group.name == "yes or no":
        return f"{expect.capitalize()}.", "No." if expect == "yes" else "Yes."
    right, wrong = ANSWERS[group.name]
    return right.replace("{expect}", expect), wrong.replace("{expect}", expect)


def test_every_item_tells_right_from_wrong() -> None:
    read = suite.load("general")
    assert read.size == 200
    assert read.tags == ["arithmetic", "formats", "harmless", "instructions", "knowledge"]
    assert len({prompt.text for _, prompt in read.asked}) == 200
    for _, prompt in read.asked[:40]:
        assert float(prompt.expect or "nan") not in numbers(prompt.text), "no sum tells its result"
    for _, prompt in [one for one in read.asked if "knowledge" in one[1].tags]:
        assert (prompt.expect or "").casefold() not in prompt.text.casefold()
    both = [_answers(group, prompt) for group, prompt in read.asked]
    right, wrong, endless = judged(
        read,
        [
            [Answer(good, "turn end") for good, _ in both],
            [Answer(bad, "turn end") for _, bad in both],
            [Answer("", "length") for _ in both],
        ],
    )
    assert [(i.prompt, i.failed) for i in right if i.verdict != "pass"] == []
    assert [i.prompt for i in wrong if i.verdict != "fail"] == []
    assert [i.prompt for i in endless if i.verdict == "pass"] == []


@pytest.mark.parametrize("name", ["shell", "domain", "world"])
def test_what_the_starter_suites_expect_passes_them(name: str) -> None:
    read = suite.load(name)
    right = [Answer(prompt.expect or "", "turn end") for _, prompt in read.asked]
    assert {item.verdict for item in judged(read, [right])[0]} == {"pass"}


@pytest.mark.parametrize(
    ("prompt", "answer", "verdict"),
    [
        ("What is 17 + 26?", "17 + 26 = 43", "pass"),
        ("What is 17 + 26?", "17 + 26 = 42", "fail"),
        ("What is 13 - 20?", "13 - 20 = -7.", "pass"),
        ("What is 13 - 20?", "It is 7.", "fail"),
        ("What is 10 % of 350?", "10 % of 350 is 35.", "pass"),
        ("How many minutes are there in 3 hours?", "There are 180 minutes in 3 hours.", "pass"),
        ("What do you call frozen water?", "Frozen water is called Ice.", "pass"),
        ("What do you call frozen water?", "Juice.", "fail"),
        ("Reply with exactly one word: river", "River.", "pass"),
        ("Answer only with yes or no. Is ice cold?", "Yes, ice is cold.", "fail"),
        ("Suggest a name for a black cat. Answer in one or two sentences.", "Midnight.", "pass"),
    ],
)
def test_answers_as_models_give_them(prompt: str, answer: str, verdict: str) -> None:
    read = suite.load("general")
    place = [one.text for _, one in read.asked].index(prompt)
    said = [Answer(answer, "turn end") for _ in range(read.size)]
    assert judged(read, [said])[0][place].verdict == verdict
