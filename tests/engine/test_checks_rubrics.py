"""Rubrics: what a judge's reply means, both orders of a comparison, and the judge beside people."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from engine.checks import jobs, people, rubrics, suite
from engine.checks.judging import ModelResult, judged, result
from engine.checks.kinds import Answer, Outcome
from engine.checks.run import known
from engine.checks.stats import agreement
from engine.checks.suite import Suite
from store import labels, votes
from store.answers import Known
from store.catalogue import Catalogue
from store.errors import BadInput

SUITE = """
max_tokens = 8
[[group]]
name = "talks"
prompts = ["Hi", "Who are you?", "What colour is grass?", "What colour is the fox?"]
[[group.check]]
kind = "regex"
value = "."
[[group.check]]
kind = "rubric"
value = "The answer is kind."
judge = "starter"
RUBRIC
"""


def made(folder: Path, rubric: str = "") -> Suite:
    path = folder / "judged.toml"
    path.write_text(SUITE.replace("RUBRIC", rubric))
    return suite.load(str(path))


def test_a_reply_is_read_strictly() -> None:
    yes_no = ("yes", "no")
    for reply, choice in (
        ("yes", "yes"),
        (" **No**, it is not.", "no"),
        ("Yes it is", "yes"),
        ("I say no.", "no"),
        ("yes and no", None),
        ("nobody knows", None),
        ("", None),
    ):
        assert rubrics.chosen(reply, yes_no) == choice, reply
    assert rubrics.chosen("A", ("A", "B")) == "A"
    assert rubrics.chosen("B is a better answer", ("A", "B")) == "B"
    assert rubrics.chosen("A good one is B", ("A", "B")) is None
    assert rubrics.chosen("4/5", ("1", "2", "3", "4", "5")) == "4"


def test_a_comparison_is_asked_both_ways_round(tmp_path: Path) -> None:
    read = made(tmp_path, 'against = "base"')
    (check,) = read.groups[1].checks
    told = [[Answer(t, "turn end") for t in some] for some in (["a"] * 8, ["b"] * 7 + ["a"])]
    asked, decided = rubrics._questions(read, told)
    assert len(asked) == 3 and {len(one.turns) for one in asked.values()} == {2}
    first, second = asked[1, 4, 0].turns
    assert "Answer A: b\n\nAnswer B: a" in first[0].text
    assert "Answer A: a\n\nAnswer B: b" in second[0].text
    assert {one.verdict for one in decided.values()} == {"skipped"}  # the base, and the same answer
    for replies, verdict in (("AB", "pass"), ("BA", "fail"), ("AA", "skipped"), ("A?", "error")):
        found = rubrics._outcome(check, [Known(reply, 1, "turn end") for reply in replies])
        assert found.verdict == verdict


@pytest.mark.parametrize(
    ("rubric", "told"),
    [
        ('choices = ["yes"]', "choices"),
        ('accept = ["maybe"]', r"accept: expected some of the choices \(yes, no\)"),
        ('template = "Well?"', "template"),
        ('against = "base"\nchoices = ["a", "b"]', "choices"),
        ('against = "me"', "against"),
        ("min = 3", "min"),
    ],
)
def test_a_broken_rubric_names_its_line(tmp_path: Path, rubric: str, told: str) -> None:
    with pytest.raises(BadInput, match=f"judged.toml, line 1[0-9].*{told}"):
        made(tmp_path, rubric)


def test_opinions_are_kept_and_stand_apart(cat: Catalogue, tmp_path: Path) -> None:
    read = made(tmp_path)
    assert [group.name for group in read.groups] == ["talks", "talks, judged by starter"]
    assert known(cat, read, ["starter"])[1] == 4
    jobs.follow(cat, jobs.start(cat, [read], ["starter"]))
    (found,), missing = known(cat, read, ["starter"])
    assert missing == 0  # nor is the judge asked again
    facts, opinions = found.groups
    assert (facts.passed, facts.judge, found.total.passed) == (4, "", 4)
    assert opinions.judge == "starter"
    assert opinions.passed + opinions.failed + opinions.errors == 4
    assert [one.found for one in people.judges(cat, read, [found])] == [None]
    assert "not checked against people" in people.judges(cat, read, [found])[0].words()


def by_hand(read: Suite, said: str) -> ModelResult:
    told = [Answer(f"answer {i % 4}", "turn end") for i in range(8)]
    opinions = {(0, 4 + i, 0): Outcome("pass" if one == "+" else "fail")
                for i, one in enumerate(said)}  # fmt: skip
    (items,) = judged(read, [told], opinions)
    return result(read, "m", "m", items)


def test_a_judge_is_held_against_labels_and_votes(cat: Catalogue, tmp_path: Path) -> None:
    read = made(tmp_path)
    found = by_hand(read, "++-+")
    assert (found.total.passed, found.total.failed) == (4, 0)  # opinions are no facts
    ((group, _, cases),) = people.cases(read, [found])
    assert group.judge == "starter" and [case.passed for case in cases] == [True, True, False, True]
    labels.give(cat, cases[0].key, True)
    labels.give(cat, cases[2].key, False)
    labels.give(cat, cases[3].key, True)
    labels.give(cat, cases[3].key, None)
    for case, verdict in ((cases[1], "bad"), (cases[0], "bad")):
        turns = [(turn.role, turn.text) for turn in case.prompt.turns]
        held = votes.add_item(cat, turns, [votes.Answer("m", case.answer)], {})
        votes.vote(cat, held.id, "bad" if verdict == "bad" else "better")
    (one,) = people.judges(cat, read, [found])
    assert one.found is not None  # a label counts before a vote
    assert (one.found.same, one.found.total) == (2, 3)
    assert "agrees with people on 2 of 3 answers" in one.words()


def test_agreement_by_hand() -> None:
    """Cohen's kappa by hand: 70 % agree where 50 % would by chance."""
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    found = agreement(pairs)
    assert found is not None and found.kappa == pytest.approx(0.4)  # (0.7 - 0.5) / 0.5
    assert found.kappa_low < 0.4 < found.kappa_high
    assert (found.same, found.total) == (35, 50)
    alike = agreement([(True, True)] * 10)
    assert alike is not None and alike.kappa is None and alike.kappa_low < 0.9
    sure = agreement([(True, True)] * 5 + [(False, False)] * 5)
    assert sure is not None and sure.kappa == 1 and sure.kappa_low < 0.9  # ten answers are few
    assert agreement([]) is None


def test_the_interval_of_kappa_holds_what_it_promises() -> None:
    random = np.random.default_rng(5)
    shares = np.array([0.45, 0.1, 0.1, 0.35])
    chance = 0.55 * 0.55 + 0.45 * 0.45
    truth = (0.8 - chance) / (1 - chance)
    kinds = [(True, True), (True, False), (False, True), (False, False)]
    inside = 0
    for _ in range(200):
        found = agreement([kinds[i] for i in random.choice(4, 30, p=shares)])
        assert found is not None
        inside += found.kappa_low <= truth <= found.kappa_high
    assert 0.95 - 3 * math.sqrt(0.05 * 0.95 / 200) <= inside / 200
