"""Warnings about answers: raised where base and rows do not explain them, and only there."""

from __future__ import annotations

import random

from engine.checks.judging import Item
from engine.checks.kinds import Answer
from engine.diagnosis import Curves, Facts, diagnose
from engine.train import doubts
from store.rundb import Event


def said(*texts: str, stop: str = "turn end") -> list[Answer]:
    return [Answer(text, stop) for text in texts]


def items(verdicts: str) -> list[Item]:
    kind = {"p": "pass", "f": "fail", "e": "error"}
    return [
        Item("g", f"prompt {i}", None, None, "", "turn end", kind[v], ())  # type: ignore[arg-type]
        for i, v in enumerate(verdicts)
    ]


WORDS = ("one", "two", "three", "four", "five")
PLAIN = said("Paris is a city.", "It is blue.", "Two and two is four.", "No.", "Yes, it does.")
GREAT = said(*[f"Great question! This translates to {word}." for word in WORDS])


def test_one_opening_for_all_is_doubted_unless_base_or_rows_have_it() -> None:
    found = doubts.about_openings(GREAT, PLAIN, {})
    assert found is not None
    assert "5 of 5 begin 'great question this…'" in found
    assert "the base: 0 of 5; the training rows: 0%" in found
    assert doubts.about_openings(PLAIN, PLAIN, {}) is None
    assert doubts.about_openings(GREAT, GREAT, {}) is None
    taught = doubts.openings(["Great question! This is it."] * 9 + ["No."])
    assert taught == {"great question this": 0.9, "no": 0.1}
    assert doubts.about_openings(GREAT, PLAIN, taught) is None
    # One of five openings that the rows have alike often: a collapse all the same.
    assert doubts.about_openings(GREAT * 2, PLAIN * 2, {"great question this": 0.2}) is not None


def test_two_of_two_is_not_enough_to_say_anything() -> None:
    assert doubts.about_openings(GREAT[:2], PLAIN[:2], {}) is None
    assert doubts.about_openings([], [], {}) is None
    assert doubts.about_openings(said("", "", "", "", ""), PLAIN, {}) is None


def test_answers_that_stop_ending() -> None:
    long = said(*"abcde", stop="length")
    assert "5 of 5 run to the limit (the base: 0 of 5)" in (
        doubts.about_endings(long, PLAIN, 0.0) or ""
    )
    assert doubts.about_endings(long, long, 0.0) is None
    assert doubts.about_endings(long, PLAIN, 0.9) is None
    assert doubts.unended(long + PLAIN) == 0.5


def test_a_retention_that_falls_is_named_with_what_was_lost() -> None:
    found = doubts.about_retention("retention", items("pfffffffff"), items("ppppppppff"))
    assert found is not None
    assert "1 of 10 pass, with the base it was 8; 7 were lost, 0 won" in found
    assert "'prompt 1'" in found
    assert doubts.about_retention("r", items("pppppppfff"), items("pppppppppf")) is None
    assert doubts.about_retention("r", items("ffffffffff"), items("eeeeeeeeee")) is None


def test_chance_alone_is_doubted_at_most_once_in_a_hundred() -> None:
    draw = random.Random(0)
    alarms = 0
    for _ in range(2000):
        base, now = (items("".join(draw.choices("pf", [8, 2], k=60))) for _ in range(2))
        alarms += doubts.about_retention("r", now, base) is not None
    assert alarms <= 20


def test_a_doubt_stands_until_it_has_passed_and_no_diagnosis_calls_the_run_healthy() -> None:
    falls = doubts.about_retention("retention", items("pfffffffff"), items("ppppppppff"))
    opens = doubts.about_openings(GREAT, PLAIN, {})
    assert falls is not None and opens is not None
    steps = [(4, "warning", falls), (4, "warning", opens), (8, "passed", f"{doubts.OPENINGS}: no")]
    events = [Event(n, 0.0, "warn", kind, said, at) for n, (at, kind, said) in enumerate(steps)]
    standing = doubts.standing([Event(9, 0.0, "warn", "warning", "rows: few", None), *events])
    assert list(standing) == [doubts.falls("retention")]

    curve = [(float(step), 2.0 * 0.97**step + 0.3 + 0.02 * (step % 3)) for step in range(1, 80)]
    fine = diagnose(Curves.from_points({"loss": curve}))
    assert "healthy" in {verdict.rule for verdict in fine}
    told = tuple((event.step or 0, event.text) for event in standing.values())
    found = diagnose(Curves.from_points({"loss": curve}), Facts(doubts=told))
    assert "healthy" not in {verdict.rule for verdict in found}
    (doubt,) = (verdict for verdict in found if verdict.rule == "answers")
    assert doubt.text.startswith("retention falls: 1 of 10 pass") and doubt.step == 4
    assert doubt.advice.startswith("Go back to an earlier checkpoint")
