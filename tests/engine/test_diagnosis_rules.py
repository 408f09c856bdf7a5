"""The diagnosis on curves whose fault is known: each rule speaks, with evidence and a knob."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from engine.diagnosis import RULES, Curves, Facts, Verdict, before, diagnose
from engine.diagnosis import facts as known
from engine.diagnosis import preset as presets
from engine.diagnosis.verdict import ordered
from store.errors import BadInput, NotFound

RECIPE = {
    "learning_rate": 2e-4,
    "r": 16,
    "per_device_train_batch_size": 8,
    "lr_scheduler_type": "constant",
}
STEPS = np.arange(1, 201)


def pairs(values: object, steps: object = STEPS) -> list[tuple[float, float]]:
    return list(zip(np.asarray(steps).tolist(), np.asarray(values).tolist(), strict=True))


def noisy(values: np.ndarray, scale: float = 0.03, seed: int = 3) -> np.ndarray:
    return values * np.exp(scale * np.random.default_rng(seed).normal(size=len(values)))


def falling(floor: float = 0.8, start: float = 3.0, pace: float = 12.0) -> np.ndarray:
    return floor + (start - floor) * np.exp(-pace * STEPS / len(STEPS))


def facts(**more: object) -> Facts:
    given = {"rows": 800, "held_out": 80, "hidden": 4096, "total_steps": 200, "ended": True}
    return known.of({**RECIPE, **dict(more.pop("recipe", {}))}, **{**given, **more})


def said(curves: dict[str, list[tuple[float, float]]], rule: str, **more: object) -> Verdict | None:
    verdicts = diagnose(Curves.from_points(curves), facts(**more))
    assert {verdict.rule for verdict in verdicts} <= set(RULES)
    return next((verdict for verdict in verdicts if verdict.rule == rule), None)


def alarms(curves: dict[str, list[tuple[float, float]]], **more: object) -> list[str]:
    verdicts = diagnose(Curves.from_points(curves), facts(**more))
    return [verdict.rule for verdict in verdicts if verdict.alarm]


def held(values: object, every: int = 20) -> list[tuple[float, float]]:
    steps = np.arange(0, 201, every)
    return pairs(np.interp(steps, STEPS, np.asarray(values)), steps)


def test_a_healthy_run_is_called_healthy_and_nothing_else() -> None:
    loss = falling()
    curves = {"loss": pairs(noisy(loss)), "eval_loss": held(loss * 1.05)}
    assert alarms(curves) == []
    verdict = said(curves, "healthy")
    assert verdict is not None and verdict.severity == "good"
    assert verdict.evidence["eval_loss"] == pytest.approx(0.84, abs=0.02)


def test_overfitting_names_the_step_the_rise_and_the_best_checkpoint() -> None:
    turn = np.where(STEPS > 80, (STEPS - 80) * 0.004, 0.0)
    curves = {"loss": pairs(noisy(falling(0.2))), "eval_loss": held(falling(0.9) + turn)}
    saved = ((50, 1.02), (100, 0.98), (150, 1.2), (200, None))
    verdict = said(curves, "overfitting", checkpoints=saved)
    assert verdict is not None and verdict.severity == "bad"
    assert verdict.evidence["began_after_step"] == verdict.step
    assert 60 <= (verdict.step or 0) <= 100
    assert verdict.evidence["best_checkpoint"] == 100
    assert "step 100" in verdict.advice and verdict.knob == "num_train_epochs"


def test_without_held_out_rows_it_says_that_it_cannot_tell() -> None:
    verdict = said({"loss": pairs(noisy(falling()))}, "overfitting", held_out=0)
    assert verdict is not None and not verdict.known
    assert verdict.text == "cannot tell: no held-out rows" and verdict.mark == "?"
    assert "no-held-out" in alarms({"loss": pairs(noisy(falling()))}, held_out=0)
    waiting = said({"loss": pairs(noisy(falling()))}, "overfitting", held_out=80)
    assert waiting is not None and waiting.text == "cannot tell: no evaluation so far"
    assert "no-held-out" not in alarms({"loss": pairs(noisy(falling()))}, held_out=80)


def test_still_falling_is_good_while_it_runs_and_underfit_at_the_end() -> None:
    loss = 3.0 * (0.3 + 0.7 * np.exp(-STEPS / 200))
    curves = {"loss": pairs(noisy(loss)), "eval_loss": held(loss)}
    verdict = said(curves, "underfit")
    assert verdict is not None and verdict.knob == "max_steps"
    assert verdict.evidence["slope_low"] <= verdict.evidence["slope_high"] < 0
    running = said(curves, "falling", total_steps=400, ended=False)
    assert running is not None and running.severity == "good"
    assert said(curves, "underfit", total_steps=400, ended=False) is None


def test_a_low_rate_is_told_by_a_straight_descent_and_a_rate_far_under_the_usual() -> None:
    loss = 2.93 - 0.3 * STEPS / 200
    curves = {"loss": pairs(noisy(loss)), "eval_loss": held(loss)}
    verdict = said(curves, "rate-too-low", recipe={"learning_rate": 5e-6})
    assert verdict is not None and verdict.knob == "learning_rate"
    assert "20–60× under the usual 1e-4–3e-4" in verdict.text
    assert verdict.evidence["fell_in_second_half"] == pytest.approx(0.5, abs=0.1)
    # The same curve at an ordinary rate is not blamed on the rate.
    assert said(curves, "rate-too-low") is None


def test_story_one_before_training() -> None:
    recipe = {
        "learning_rate": 5e-6,
        "r": 8,
        "num_train_epochs": 5,
        "per_device_train_batch_size": 1,
    }
    verdicts = before(known.of(recipe, rows=8, held_out=0))
    told = {verdict.rule: verdict.text for verdict in verdicts}
    assert "20–60× under the usual" in told["rate-too-low"]
    assert told["few-rows"].startswith("8 examples are few: a real run needs 500 to 2,000")
    assert "no row is held out" in told["no-held-out"]


@pytest.mark.parametrize("logged", [5, 40])
def test_story_one_after_training(logged: int) -> None:
    steps = np.arange(1, logged + 1)
    loss = np.linspace(2.93, 2.26, logged)
    curves = {"loss": pairs(loss, steps)}
    recipe = {"learning_rate": 5e-6, "r": 8, "per_device_train_batch_size": 1}
    thumb = presets.load("lab")
    found = diagnose(
        Curves.from_points(curves),
        known.of(recipe, rows=8, held_out=0, total_steps=logged, ended=True),
        thumb,
    )
    told = {verdict.rule: verdict for verdict in found}
    low = told["rate-too-low"]
    assert low.severity == "warn" and low.knob == "learning_rate"
    assert "20–60×" in low.text and "above 1.0 the answers still surprise" in low.text
    assert "equally likely tokens, now as among" in told["progress"].text
    assert "would not prove it" in low.advice
    assert not told["overfitting"].known
    thumbs = [v for v in found if v.rule == "rule-of-thumb"]
    assert thumbs and all(v.severity == "info" and "rule of thumb" in v.text for v in thumbs)


def test_a_loss_that_leaves_its_best_diverges_and_one_that_stays_above_is_too_high() -> None:
    rise = np.clip((STEPS - 100) / 50, 0, 2) * 2.0
    verdict = said({"loss": pairs(noisy(falling() + rise)), "eval_loss": []}, "diverging")
    assert verdict is not None and verdict.severity == "bad"
    assert 60 <= verdict.evidence["best_step"] <= 110
    stays = np.where(STEPS > 60, 0.8, 0.0)
    above = said({"loss": pairs(noisy(falling(0.6) + stays))}, "rate-too-high")
    assert above is not None and above.knob == "learning_rate"


def test_a_held_out_loss_that_zigzags_is_the_rates_doing() -> None:
    wave = 0.8 + 0.4 * (np.arange(11) % 2)
    curves = {"loss": pairs(noisy(falling(), 0.2)), "eval_loss": pairs(wave, range(0, 201, 20))}
    verdict = said(curves, "rate-too-high")
    assert verdict is not None and verdict.evidence["shape"] == "zigzags"


def test_a_plateau_needs_a_narrow_interval_and_a_rate_that_has_not_decayed() -> None:
    flat = falling(1.0, pace=40)
    rate = pairs(np.full(200, 2e-4))
    curves = {"loss": pairs(noisy(flat, 0.01)), "learning_rate": rate, "eval_loss": held(flat)}
    verdict = said(curves, "plateau")
    assert verdict is not None and verdict.severity == "info"
    assert verdict.evidence["slope_low"] <= 0 <= verdict.evidence["slope_high"]
    decayed = {**curves, "learning_rate": pairs(2e-4 * (1 - STEPS / 201))}
    decayed["learning_rate"] = pairs(2e-4 * np.exp(-STEPS / 20))
    assert said(decayed, "plateau") is None
    wild = {"loss": pairs(noisy(flat, 0.5)), "learning_rate": rate}
    assert said(wild, "plateau") is None


def test_a_spike_names_the_step_and_the_lines_of_its_rows() -> None:
    loss = noisy(falling())
    loss[119] *= 5
    asked: list[int] = []

    def rows_at(step: int) -> tuple[int, ...]:
        asked.append(step)
        return (7, 42)

    verdict = said({"loss": pairs(loss), "eval_loss": held(falling())}, "spike", rows_at=rows_at)
    assert verdict is not None and verdict.step == 120 and asked == [120]
    assert verdict.evidence["rows"] == [7, 42] and "lines 7, 42" in verdict.text
    assert verdict.evidence["recovered"] == 1


def test_a_not_finite_loss_names_its_first_step_and_the_checkpoint_before_it() -> None:
    loss = falling()
    loss[149:] = np.nan
    norms = np.full(200, 0.8)
    verdict = said(
        {"loss": pairs(loss), "grad_norm": pairs(norms)},
        "not-a-number",
        checkpoints=((50, None), (100, None), (180, None)),
    )
    assert verdict is not None and verdict.step == 150
    assert verdict.evidence["last_good_checkpoint"] == 100
    assert "forward pass" in verdict.advice
    norms[140:149] = 500.0
    grown = said({"loss": pairs(loss), "grad_norm": pairs(norms)}, "not-a-number")
    assert grown is not None and grown.knob == "learning_rate"
    silent = said({"loss": pairs(loss)}, "not-a-number")
    assert silent is not None and "cannot be told" in silent.advice
    at_once = said({"loss": pairs(np.full(200, np.nan))}, "not-a-number")
    assert at_once is not None and (at_once.step, at_once.knob) == (1, "dtype")
    assert "Nothing was learned before it" in at_once.advice


def test_a_gradient_of_nothing_and_a_loss_of_nothing() -> None:
    zero = pairs(np.zeros(200))
    frozen = said({"loss": pairs(np.full(200, 2.5)), "grad_norm": zero}, "gradient-zero")
    assert frozen is not None and frozen.severity == "bad"
    empty = {"loss": zero, "grad_norm": zero, "eval_loss": held(np.zeros(200))}
    assert alarms(empty) == ["mask-empty"]
    masked = before(known.of(RECIPE, rows=800, held_out=80, trained_tokens=0, tokens=9000))
    assert [v.rule for v in masked if v.severity == "bad"] == ["mask-empty"]


def test_a_leak_is_known_from_copies_or_suspected_from_the_curve() -> None:
    loss = falling(0.5)
    curves = {
        "loss": pairs(noisy(loss)),
        "eval_loss": held(loss * 0.8),
        "epoch": pairs(STEPS / 40),
    }
    suspected = said(curves, "leak", rows=320)
    assert suspected is not None and suspected.severity == "warn"
    assert suspected.evidence["p"] < 0.05
    none_found = said(curves, "leak", rows=320, duplicates=0)
    assert none_found is not None and none_found.severity == "info"
    sure = said(curves, "leak", rows=320, duplicates=12)
    assert sure is not None and sure.severity == "bad" and "12 of 80" in sure.text
    dropped = said(curves, "leak", rows=320, recipe={"lora_dropout": 0.8})
    assert dropped is None, "dropout explains it"


def test_a_training_loss_summed_over_accumulated_batches_is_not_taken_for_a_leak() -> None:
    loss = falling(0.5)
    curves = {"loss": pairs(loss * 4), "eval_loss": held(loss), "epoch": pairs(STEPS / 40)}
    recipe = {"gradient_accumulation_steps": 4}
    curves["eval_loss"][0] = (0, 3.0)
    verdict = said(curves, "leak", recipe=recipe, rows=320)
    assert verdict is not None and not verdict.known


def test_held_out_rows_that_gain_nothing_are_named() -> None:
    curves = {"loss": pairs(noisy(falling())), "eval_loss": held(np.full(200, 2.9))}
    verdict = said(curves, "no-transfer")
    assert verdict is not None and verdict.evidence["eval_fell"] < 0.05


def test_calibration_is_a_line_of_its_own() -> None:
    loss = falling()
    sure = {"eval_loss": held(loss), "eval_entropy": held(loss * 0.4), "loss": pairs(loss)}
    verdict = said(sure, "calibration")
    assert verdict is not None and verdict.severity == "info" and verdict.evidence["gap"] > 0
    honest = {**sure, "eval_entropy": held(loss * 0.97)}
    fine = said(honest, "calibration")
    assert fine is not None and fine.severity == "good"


def test_before_training_names_what_cannot_work() -> None:
    off = before(known.of({**RECIPE, "lora_alpha": 0}, rows=800, held_out=80))
    assert off[0].severity == "bad" and off[0].knob == "lora_alpha"
    high = before(known.of({**RECIPE, "learning_rate": 1e-2}, rows=800, held_out=80, hidden=4096))
    assert [v.rule for v in high] == ["rate-too-high"]
    copies = before(known.of(RECIPE, rows=800, held_out=80, duplicates=3))
    assert [v.rule for v in copies] == ["leak"]
    assert before(known.of(RECIPE, rows=800, held_out=80, hidden=4096)) == []
    # A narrow base wants more: what is usual for 7B is low for the starter, and its own is fine.
    assert (
        before(known.of({"learning_rate": 1e-3, "r": 8}, rows=800, held_out=80, hidden=256)) == []
    )
    # A rate that is chosen later is no rate of zero.
    assert before(known.of({"learning_rate": 0.0}, rows=800, held_out=80)) == []


def test_a_full_fine_tune_and_a_preference_have_rates_of_their_own() -> None:
    loss = 2.93 - 0.3 * STEPS / 200
    curves = {"loss": pairs(noisy(loss)), "eval_loss": held(loss)}
    full = {key: value for key, value in RECIPE.items() if key != "r"} | {"learning_rate": 1e-5}
    verdicts = diagnose(Curves.from_points(curves), known.of(full, rows=800, held_out=80))
    assert "rate-too-low" not in [verdict.rule for verdict in verdicts]
    assert before(known.of(full, rows=800, held_out=80)) == []
    dpo = {**RECIPE, "learning_rate": 5e-6, "method": "dpo"}
    found = diagnose(Curves.from_points(curves), known.of(dpo, rows=800, held_out=80))
    told = {verdict.rule: verdict.text for verdict in found}
    assert "rate-too-low" not in told and "tokens" not in told["progress"]


def test_curves_of_a_trainer_elsewhere_are_taken_as_they_are() -> None:
    steps = np.arange(10, 2001, 10)
    loss = 0.9 + 2 * np.exp(-steps / 150)
    curves = Curves.from_points(
        {
            "loss": pairs(noisy(loss), steps),
            "mean_token_accuracy": pairs(1 - loss / 4, steps),
            "eval_loss": pairs(loss[19::20] * 1.05, steps[19::20]),
            "train_runtime": [(2000, 812.0)],
        }
    )
    assert curves["loss"].logged == 10 and len(curves["token_accuracy"]) == 200
    verdicts = diagnose(curves)
    assert [v.rule for v in verdicts if v.alarm] == []
    assert any(v.rule == "healthy" for v in verdicts)


def test_presets_are_rules_of_thumb_whatever_the_numbers() -> None:
    assert [name for name, _ in presets.names()] == ["habit", "lab"]
    curves = {
        "loss": pairs(np.full(200, 0.62)),
        "token_accuracy": pairs(np.full(200, 0.8)),
        "entropy": pairs(np.full(200, 0.9)),
        "epoch": pairs(STEPS / 70),
    }
    found = diagnose(Curves.from_points(curves), facts(), presets.load("habit"))
    zone = [v for v in found if v.rule == "rule-of-thumb"]
    assert len(zone) == 1 and zone[0].severity == "info"
    assert "4 of 4 in 'healthy'" in zone[0].text and "support it only in part" in zone[0].advice
    with pytest.raises(NotFound, match="did you mean 'habit'"):
        presets.load("habits")


def test_a_preset_of_ones_own_is_read_and_a_wrong_one_named(tmp_path: object) -> None:
    path = f"{tmp_path}/mine.toml"
    with open(path, "w") as file:
        file.write('name="mine"\ndescription="d"\ncaution="c"\n[[zone]]\nname="z"\nlos=[0,1]\n')
    with pytest.raises(BadInput, match="los"):
        presets.load(path)


def test_no_curve_whatever_makes_it_fail() -> None:
    random = np.random.default_rng(11)
    strange = [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e300, -1e300, 1e-300, 1e29, None]
    names = ("loss", "grad_norm", "learning_rate", "entropy", "eval_loss", "eval_entropy", "epoch")
    preset = presets.load("habit")
    for _ in range(400):
        curves: dict[str, list[tuple[float, float | None]]] = {}
        for name in names:
            n = int(random.choice([0, 1, 2, 3, 5, 12, 30, 130, 700]))
            values = random.choice([0.0, 1.0, 1e-9, 1e6]) * random.normal(size=n)
            values = values + random.choice([0.0, 2.0, -3.0])
            steps = random.integers(0, 50 + n, n)
            points: list[tuple[float, float | None]] = pairs(values, steps)  # type: ignore[assignment]
            for place in range(n):
                if random.random() < random.choice([0.0, 0.1, 0.9]):
                    pick = strange[int(random.integers(len(strange)))]
                    points[place] = (points[place][0], pick)
            if random.random() < 0.9:
                curves[name] = points
        given = _some_facts(random)
        verdicts = diagnose(Curves.from_points(curves), Facts(**given), preset)
        json.dumps([v.as_dict() for v in verdicts], allow_nan=False)
        assert verdicts == ordered(verdicts) and all(v.rule in RULES for v in verdicts)
        before(Facts(**given), preset)


def _some_facts(random: np.random.Generator) -> dict[str, Any]:
    pool: dict[str, list[object]] = {
        "learning_rate": [None, 1e-9, 2e-4, 10.0],
        "rows": [None, 0, 1, 8, 10_000],
        "held_out": [None, 0, 3, 500],
        "batch": [None, 1, 64],
        "hidden": [None, 1, 256, 8192],
        "total_steps": [None, 1, 100],
        "duplicates": [None, 0, 4],
        "lora_dropout": [None, 0.0, 0.9],
        "trained_tokens": [None, 0, 10],
        "accumulation": [1, 4],
        "ended": [True, False],
        "checkpoints": [(), ((3, None), (20, 0.4))],
    }
    return {k: values[int(random.integers(len(values)))] for k, values in pool.items()}
