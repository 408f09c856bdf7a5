"""Whatever may raise an alarm does so on luck at most once in twenty: by simulation.

A series of eight checkpoints that are as good as the base, with what is shown of it: totals,
groups, single checks, the recommendation, warnings while training. Prompts come in clusters that
flip together, as those made from one template do.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine.checks import comparing, suite
from engine.checks.comparing import compare
from engine.checks.judging import CheckOutcome, Item, ModelResult, result
from engine.checks.kinds import Verdict
from engine.checks.series import Series, SuiteSeries, recommend
from engine.checks.suite import Suite
from engine.train.doubts import about_retention
from engine.votes.tally import tally
from store.votes import Answer, Vote
from store.votes import Item as Voted

ROUNDS, STEPS, CLUSTERS, EACH = 120, 8, 24, 5
LIMIT = 0.05 + 2 * math.sqrt(0.05 * 0.95 / ROUNDS)
SUITE = """
[[group]]
name = "one"
prompts_file = "rows.jsonl"
[[group.check]]
kind = "contains"
value = "x"
[[group]]
name = "two"
prompts_file = "rows.jsonl"
[[group.check]]
kind = "contains"
value = "y"
"""
Passes = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    # Neither raises an alarm, and both take long.
    monkeypatch.setattr(comparing, "bootstrap_difference", lambda *_: None)
    monkeypatch.setattr(comparing, "detectable_drop", lambda *_, **__: None)
    rows = (f'{{"prompt": "p{i}", "cluster": "c{i // EACH}"}}\n' for i in range(CLUSTERS * EACH))
    (tmp_path / "rows.jsonl").write_text("".join(rows))
    (tmp_path / "s.toml").write_text(SUITE)
    return suite.load(str(tmp_path / "s.toml"))


def told(read: Suite, name: str, passes: Passes) -> ModelResult:
    items = []
    for (group, prompt), good in zip(read.asked, passes.tolist(), strict=True):
        verdict: Verdict = "pass" if good else "fail"
        own = (CheckOutcome("contains", verdict),)
        items.append(Item(group.name, prompt.text, None, None, "", "turn end", verdict, (), own,
                          cluster=prompt.cluster))  # fmt: skip
    return result(read, name, name, tuple(items))


def as_good(random: np.random.Generator) -> list[Passes]:
    """A base and checkpoints: a cluster is as likely to pass in each of them, and whole."""
    chances = random.beta(2, 1, CLUSTERS)
    found = []
    for _ in range(STEPS + 1):
        whole = random.random(CLUSTERS) < chances
        alone = random.random((CLUSTERS, EACH)) < chances[:, None]
        together = random.random((CLUSTERS, EACH)) < 0.8
        half = np.where(together, whole[:, None], alone).ravel()
        found.append(np.concatenate([half, half]))
    return found


def test_a_series_of_equals_raises_no_alarm(read: Suite) -> None:
    random = np.random.default_rng(17)
    alarms: Counter[str] = Counter()
    for _ in range(ROUNDS):
        results = [told(read, str(i), passes) for i, passes in enumerate(as_good(random))]
        pairs = compare(results)
        alarms["a total"] += any(pair.total.said != "cannot tell apart" for pair in pairs)
        one = SuiteSeries(read, results[0], tuple(results[1:]), tuple(pairs))
        shown = (one.said(group, place) for group in (0, 1) for place in range(STEPS))
        alarms["a group"] += any(said != "cannot tell apart" for said in shown)
        checks = (check for pair in pairs for check in pair.checks)
        alarms["a check"] += any(check.said != "cannot tell apart" for check in checks)
        series = Series(1, tuple(range(1, STEPS + 1)), (one,))
        alarms["a recommendation"] += recommend(series).step is not None
    assert all(count / ROUNDS <= LIMIT for count in alarms.values()), alarms


def test_a_prompt_that_two_groups_ask_is_one(read: Suite) -> None:
    base, now = (np.array([i >= up for i in range(120)]) for up in (6, 0))
    found = compare([told(read, "a", np.concatenate([b, b])) for b in (base, now)])[0]
    assert (found.total.up, found.total.pairs) == ((*range(6), *range(120, 126)), 240)
    assert found.total.p == found.groups[0].p  # two clusters, twelve prompts: no luck is excluded
    assert found.total.said == "cannot tell apart"


def test_training_warns_of_forgetting_on_luck_in_few_runs() -> None:
    """Eight evaluations of a model that forgot nothing: the whole run's share of false warnings."""
    random = np.random.default_rng(23)
    warned = 0
    for _ in range(ROUNDS):
        chances = random.beta(4, 1, 100)
        looks = (random.random((9, 100)) < chances).tolist()
        base, *at = ([item(good) for good in look] for look in looks)
        warned += any(about_retention("kept", now, base) for now in at)
    assert warned / ROUNDS <= LIMIT


def item(good: bool) -> Item:
    verdict: Verdict = "pass" if good else "fail"
    return Item("g", "p", None, None, "", "turn end", verdict, ())


def test_votes_for_equals_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three models, a person who throws a coin and looks again and again: any pair called better.

    Questions are asked again too, and voted on as the time before.
    """
    monkeypatch.setattr("engine.votes.tally.rank", lambda _: ())
    monkeypatch.setattr("engine.votes.tally.more_votes", lambda *_: None)
    random = np.random.default_rng(29)
    names = ("a", "b", "c")
    decided = 0
    for _ in range(ROUNDS):
        items = []
        for number in range(60):
            pair = [names[i] for i in ((0, 1), (0, 2), (1, 2))[number % 3]]
            said = int(random.integers(2))
            for again in range(3):
                vote = Vote(number, number, "better", said, True, "", again)
                turns = (("user", str(number)),)
                answers = tuple(Answer(name, name) for name in pair)
                items.append(Voted(number, None, None, turns, answers, {}, 0.0, vote))
        looks = (tally(items[:count], names).pairs for count in range(18, len(items) + 1, 9))
        decided += any(pair.decided for pairs in looks for pair in pairs)
    assert decided / ROUNDS <= LIMIT
