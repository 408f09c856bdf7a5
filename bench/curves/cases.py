"""Labelled curves: what was wrong with each run, known from what was planted or from its siblings.

Knows the recorded runs. Does not know the rules: a label never looks at what a rule would look at
where a better witness exists. Whether a rate was too low is told by the held-out loss of the same
run at other rates; whether a run was stopped early by the second half of its own curve.

`truth` maps a rule to True, False, or None where the plan does not decide it: such a pair is
counted nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.curves.make import read
from bench.curves.plan import TUNING_SEEDS

RECORDED = Path(__file__).parent / "recorded.json.gz"
HIDDEN = 256

SCORED = (
    "not-a-number", "gradient-zero", "mask-empty", "diverging", "rate-too-high", "rate-too-low",
    "leak", "overfitting", "no-transfer", "memorised", "no-held-out", "few-rows", "spike",
    "plateau", "underfit",
)  # fmt: skip
"""The rules that say that something is so; those that only describe are not scored."""

Pairs = list[tuple[float, float | None]]
Truth = dict[str, bool | None]

_LOST, _KEPT = 0.25, 0.10
"""Of what the best rate gained, a bad rate lost more than the first, a good one less than the
second and ended close to it; between them nothing is claimed."""

_NEAR = 1.25


@dataclass(frozen=True, slots=True)
class Case:
    """One curve and what is true of it.

    Attributes:
        healthy: nothing was wrong with it, so that whatever a rule says is a false alarm.
        at: the step of a planted spike.
    """

    name: str
    curves: Mapping[str, Pairs]
    facts: Mapping[str, Any]
    truth: Truth
    healthy: bool = False
    real: bool = True
    tuning: bool = False
    at: int | None = None


def recorded(path: Path = RECORDED) -> list[Case]:
    """Every recorded run as one or two cases."""
    runs = read(path)
    cases: list[Case] = []
    for name, run in runs.items():
        plan = run["plan"]
        curves = {m: list(zip(*points, strict=True)) for m, points in run["curves"].items()}
        truth, healthy = _truth(run, runs, plan["steps"])
        cases.append(_case(name, run, curves, truth, healthy=healthy))
        if plan["fault"] == "sweep":
            half = plan["steps"] // 2
            early = {m: [p for p in points if p[0] <= half] for m, points in curves.items()}
            truth, healthy = _truth(run, runs, half)
            cases.append(_case(f"{name}@{half}", run, early, truth, healthy=healthy, steps=half))
        if plan["fault"] == "plain":
            alone = {m: points for m, points in curves.items() if not m.startswith("eval_")}
            truth = {**truth, "no-held-out": True, "underfit": None}
            cases.append(_case(f"{name}!", run, alone, truth, healthy=False, held_out=0))
    return cases


def _case(
    name: str,
    run: Mapping[str, Any],
    curves: Mapping[str, Pairs],
    truth: Truth,
    *,
    healthy: bool,
    steps: int = 0,
    held_out: int | None = None,
) -> Case:
    plan, known = run["plan"], run["facts"]
    facts = {
        "recipe": run["recipe"],
        "rows": known["rows"],
        "held_out": known["held_out"] if held_out is None else held_out,
        "hidden": HIDDEN,
        "total_steps": steps or plan["steps"],
        "ended": True,
        # Whether the mask is empty is to be told from the curve here.
        "trained_tokens": known["trained_tokens"] or None,
    }
    at = plan["at"] if plan["fault"] == "spike" else None
    tuning = plan["seed"] in TUNING_SEEDS
    return Case(name, curves, facts, truth, healthy, True, tuning, at)


def _truth(run: Mapping[str, Any], runs: Mapping[str, Any], steps: int) -> tuple[Truth, bool]:
    """What was planted, and whether nothing was."""
    plan = run["plan"]
    fault = plan["fault"]
    truth: Truth = dict.fromkeys(SCORED, False)
    truth["few-rows"] = run["facts"]["rows"] < 64
    if fault == "sweep":
        return _of_sweep(truth, run, runs, steps)
    held = _held(run)
    if fault == "overfit":
        low, end = min(held.values()), held[max(held)]
        turned = end > 1.05 * low and min(held, key=lambda s: held[s]) < 0.8 * plan["steps"]
        truth["overfitting"] = True if turned else (False if end <= 1.01 * low else None)
        truth |= {"memorised": None if turned else True, "underfit": None, "plateau": None}
    elif fault == "leak":
        truth |= {"leak": True, "overfitting": None, "memorised": None, "underfit": None}
        truth["plateau"] = None
    elif fault == "random":
        # Whatever else may be said of such a run, these are not what is wrong with it.
        silent = ("rate-too-low", "leak", "gradient-zero", "not-a-number", "mask-empty", "spike")
        truth = {rule: truth[rule] if rule in silent else None for rule in truth}
        truth["no-transfer"] = True
    elif fault == "tiny":
        truth = {**dict.fromkeys(SCORED), "rate-too-low": True, "few-rows": True, "leak": False}
    elif fault in ("frozen", "nan", "masked"):
        rule = {"frozen": "gradient-zero", "nan": "not-a-number", "masked": "mask-empty"}[fault]
        truth[rule] = True
        truth |= {"plateau": None, "underfit": None}
        if fault == "masked":
            truth["gradient-zero"] = None
    elif fault == "plain" and plan["rows"]:
        truth["memorised"] = None  # Five passes over few rows.
    elif fault == "spike":
        truth |= {"spike": True, "underfit": None}
    return truth, fault == "plain"


def _of_sweep(
    truth: Truth, run: Mapping[str, Any], runs: Mapping[str, Any], steps: int
) -> tuple[Truth, bool]:
    """A run at one of nine rates, judged by the other eight and by its own later steps."""
    plan = run["plan"]
    ends = {
        other["plan"]["factor"]: _held(other)[steps]
        for other in runs.values()
        if other["plan"]["fault"] == "sweep"
        and (other["plan"]["dataset"], other["plan"]["seed"]) == (plan["dataset"], plan["seed"])
        and steps in _held(other)
    }
    held = _held(run)
    factor, best = plan["factor"], min(ends, key=lambda f: ends[f])
    base, end = held[0], held.get(steps, float("inf"))
    lost = (end - ends[best]) / (base - ends[best])
    near = lost < _KEPT and end < _NEAR * ends[best]
    grade = True if lost > _LOST else (False if near else None)
    truth["rate-too-low"] = grade if factor < best else False
    truth["rate-too-high"] = grade if factor > best else False
    truth["diverging"] = True if end > base else (None if grade or factor > best else False)
    good = grade is False
    truth["plateau"] = truth["underfit"] = None
    later = held.get(plan["steps"])
    if good and later is not None and steps < plan["steps"]:
        gain = (end - later) / end
        truth["underfit"] = True if gain > 0.15 else (False if gain < 0.03 else None)
        truth["plateau"] = True if abs(gain) < 0.02 else (False if gain > 0.10 else None)
    low = min(value for step, value in held.items() if step <= steps)
    if end > 1.01 * low:
        truth["overfitting"] = None
    healthy = good and truth["underfit"] is not True and truth["overfitting"] is False
    return truth, healthy


def _held(run: Mapping[str, Any]) -> dict[int, float]:
    """Held-out loss by step."""
    points = run["curves"].get("eval_loss", [[], []])
    return {s: v for s, v in zip(*points, strict=True) if v is not None}
