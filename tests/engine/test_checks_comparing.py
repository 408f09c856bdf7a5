"""Models held against a base: flips, chance, correction, and what could have been seen."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from engine.checks import suite
from engine.checks.comparing import Pair, compare, in_words
from engine.checks.judging import ModelResult, judged, result
from engine.checks.kinds import Answer
from engine.checks.recommending import Advice, recommend
from engine.checks.recommending import in_words as advice_words
from store.errors import BadInput

PLAIN = """
[[group]]
name = "g"
prompts_file = "rows.jsonl"
[[group.check]]
kind = "contains"
value = "yes"
[[group.check]]
kind = "not_contains"
value = "never"
"""


def _suite(tmp_path: Path, rows: list[str], text: str = PLAIN) -> suite.Suite:
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    (tmp_path / "s.toml").write_text(text)
    return suite.load(str(tmp_path / "s.toml"))


def _result(read: suite.Suite, name: str, answers: list[Answer | str]) -> ModelResult:
    return result(read, name, name, judged(read, [answers])[0])


def _said(passes: list[bool | None]) -> list[Answer | str]:
    return ["no answer" if p is None else Answer("yes" if p else "no", "turn end") for p in passes]


def _pairs(read: suite.Suite, *models: list[bool | None]) -> list[Pair]:
    return compare([_result(read, f"m{i}", _said(m)) for i, m in enumerate(models)])


def test_flips_are_told_with_what_chance_makes_of_them(tmp_path: Path) -> None:
    read = _suite(tmp_path, [f'{{"prompt": "p{i}"}}' for i in range(200)])
    base: list[bool | None] = [True] * 180 + [False] * 20
    worse = [i >= 8 and p for i, p in enumerate(base)]
    alike: list[bool | None] = [not p if i in (0, 1, 190) else p for i, p in enumerate(base)]
    alike[5] = None
    down, same = _pairs(read, base, worse, alike)
    assert (down.base, down.model) == ("m0", "m1")
    assert (down.total.said, down.total.down, down.total.up) == ("worse", tuple(range(8)), ())
    assert down.total.p == pytest.approx(2 / 2**8)
    assert down.total.p_holm == pytest.approx(4 / 2**8)
    assert down.total.change == pytest.approx(-0.04)
    assert down.total.low is not None
    assert down.total.high is not None
    assert down.total.low < -0.04 < down.total.high < 0
    assert (same.total.said, same.total.pairs) == ("cannot tell apart", 199)
    assert (same.total.up, same.total.down) == ((190,), (0, 1))
    assert same.total.p == 1.0
    assert same.total.detectable_drop is not None
    assert 0.04 < same.total.detectable_drop < 0.08
    words = in_words(same.total)
    assert words.startswith("cannot tell apart: 1 up, 2 down of 199 (p 1.000; smallest drop")
    assert [one.name for one in down.checks] == ["contains 'yes'", "not_contains 'never'"]
    assert down.checks[0].down == tuple(range(8))
    assert down.checks[0].p_holm == pytest.approx(4 * down.checks[0].p)
    assert down.checks[1].said == "cannot tell apart"
    few = _suite(tmp_path, ['{"prompt": "a"}'] * 3)
    assert "too few pass" in in_words(_pairs(few, [True] * 3, [False] * 3)[0].total)
    assert "nothing to compare" in in_words(_pairs(few, [None] * 3, [True] * 3)[0].total)
    assert compare([]) == []


def test_equal_models_are_told_apart_at_most_once_in_twenty(tmp_path: Path) -> None:
    """Three adapters no better and no worse than the base, over all and check by check."""
    read = _suite(tmp_path, [f'{{"prompt": "p{i}"}}' for i in range(60)])
    random = np.random.default_rng(11)
    rounds, totals, checks = 100, 0, 0
    for _ in range(rounds):
        chances = random.beta(2, 1, 60)
        pairs = _pairs(read, *((random.random((4, 60)) < chances).tolist()))
        totals += any(pair.total.said != "cannot tell apart" for pair in pairs)
        checks += any(one.said != "cannot tell apart" for pair in pairs for one in pair.checks)
    limit = 0.05 + 2 * math.sqrt(0.05 * 0.95 / rounds)
    assert totals / rounds <= limit
    assert checks / rounds <= limit


def test_the_best_is_named_with_those_that_may_be_as_good(tmp_path: Path) -> None:
    read = _suite(tmp_path, [f'{{"prompt": "p{i}"}}' for i in range(100)])

    def advised(*passed: int) -> Advice | None:
        said = [[i < many for i in range(100)] for many in passed]
        return recommend([_result(read, f"m{i}", _said([*one])) for i, one in enumerate(said)])

    assert advised(50) is None
    assert advised(50, 90) == Advice("m1", 0.9, "better", (), ())
    found = advised(50, 70, 90, 88, 90)
    assert found == Advice("m2", 0.9, "better", ("m3", "m4"), ("m1",))
    assert advice_words(found) == (
        "highest: m2 with 90.0%, better than the base; better than m1; "
        "cannot be told apart from m3, m4"
    )
    equal = advised(88, 88, 90)
    assert equal is not None
    assert (equal.base, equal.alike) == ("cannot tell apart", ("m1",))
    lost = advised(90, 40, 50)
    assert lost is not None
    assert (lost.best, lost.base) == ("m2", "worse")
    random, alarms = np.random.default_rng(5), 0
    for _ in range(30):
        chances = random.beta(2, 1, 100)
        columns = (random.random((6, 100)) < chances).tolist()
        advice = recommend([_result(read, f"m{i}", _said(c)) for i, c in enumerate(columns)])
        assert advice is not None
        alarms += advice.base == "better"
    assert alarms <= 3, "the best of five that are as good as the base is rarely called better"


TABLE = """
[[group]]
name = "t"
prompt = ["One {a}?", "Two {a}?", "Three {a}?", "Four {a}?", "Five {a}?", "Six {a}?", "Seven {a}?"]
table = "rows.jsonl"
[[group.check]]
kind = "contains"
value = "yes"
"""


def test_prompts_of_one_template_count_as_one(tmp_path: Path) -> None:
    rows = [f'{{"a": {i}}}' for i in range(10)]
    read = _suite(tmp_path, rows, TABLE)
    assert (read.size, len({p.cluster for _, p in read.asked})) == (70, 7)
    one_template_lost: list[bool | None] = [False] * 10 + [True] * 60
    pair = _pairs(read, [True] * 70, one_template_lost)[0]
    assert len(pair.total.down) == 10
    assert (pair.total.said, pair.total.p) == ("cannot tell apart", 1.0)
    lone = _suite(tmp_path, rows, TABLE.replace('", "Two', '"]\n#'))
    pair = _pairs(lone, [True] * 10, [False] * 10)[0]
    assert (pair.total.said, pair.total.templates) == ("worse", 1)
    assert "about this template alone" in in_words(pair.total)


def test_weights_make_a_score_and_conditions_are_skipped(tmp_path: Path) -> None:
    text = """
[[group]]
name = "g"
tags = ["all"]
prompts = [{prompt = "a", weight = 3, tags = ["x"]}, "b", "c", "d"]
[[group.check]]
kind = "contains"
value = "yes"
unless = "refuses"
[[group.check]]
kind = "stops"
when = {kind = "contains", value = "yes"}
"""
    read = _suite(tmp_path, [], text)
    answers: list[Answer | str] = [
        Answer("yes", "turn end"),
        Answer("no", "length"),
        Answer("I can't.", "length"),
        "too long",
    ]
    found = _result(read, "m", answers)
    assert [item.verdict for item in found.items] == ["pass", "fail", "skipped", "error"]
    assert (found.passed, found.failed, found.skipped, found.errors) == (1, 1, 1, 1)
    assert found.rate == 0.5
    assert found.score is not None
    assert found.score.value == 0.75
    assert [(c.name, c.passed, c.failed, c.skipped, c.errors) for c in found.checks] == [
        ("contains 'yes'", 1, 1, 1, 1),
        ("stops", 1, 0, 2, 1),
    ]
    assert [(t.name, t.passed, t.failed) for t in found.tags] == [("all", 1, 1), ("x", 1, 0)]
    assert found.items[2].failed == (
        "contains 'yes': unless refuses",
        "stops: when contains 'yes'",
    )
    some = suite.tagged(read, ["x"])
    assert (some.size, some.name) == (1, f"{read.name}:x")
    with pytest.raises(BadInput, match="no prompt is tagged 'y'"):
        suite.tagged(read, ["y"])
