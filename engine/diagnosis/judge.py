"""All rules in their order, and which of them silence others.

Knows the rules by name. Does not know their numbers.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.diagnosis.curves import Curves
from engine.diagnosis.facts import Facts
from engine.diagnosis.preset import Preset
from engine.diagnosis.preset import judge as judge_by
from engine.diagnosis.rules import answers, broken, heldout, rates, spikes, trends
from engine.diagnosis.rules import before as early
from engine.diagnosis.verdict import Verdict, ordered
from engine.diagnosis.view import View

Rule = Callable[[View], Verdict | None]

_CURVE_RULES: tuple[Rule, ...] = (
    broken.not_a_number,
    broken.gradient_zero,
    broken.mask_empty,
    rates.diverging,
    rates.too_high,
    rates.too_low,
    rates.rate_unknown,
    heldout.leak,
    heldout.overfitting,
    heldout.no_transfer,
    heldout.memorised,
    heldout.no_held_out,
    spikes.spikes,
    trends.plateau,
    trends.heading,
    trends.calibration,
    trends.progress,
)

_FACT_RULES: tuple[Callable[[Facts], Verdict | None], ...] = (
    early.rate,
    early.rows,
    early.held_out,
    early.mask,
    early.leak,
    early.adapter,
    early.passes,
)

RULES = {
    "not-a-number": "The loss or the gradient is NaN or infinite.",
    "gradient-zero": "The gradient is exactly zero, or the adapter cannot act.",
    "mask-empty": "No token has a loss.",
    "mask-full": "Every token has a loss, prompts included.",
    "diverging": "The loss left its best and rises, or is worse than before training.",
    "rate-too-high": "The steps are too long to settle.",
    "rate-too-low": "The loss falls in a shallow line at a rate under the usual.",
    "leak": "Held-out rows are among the training rows, or look as if they were.",
    "overfitting": "The held-out loss turned while the training loss went on falling.",
    "no-transfer": "The training loss fell a good deal and the held-out loss hardly.",
    "memorised": "The training rows are known by heart; further steps teach nothing.",
    "no-held-out": "No row is held out.",
    "few-held-out": "Few rows are held out.",
    "few-rows": "The examples are few.",
    "many-passes": "Many passes over the rows.",
    "spike": "Single steps stand out, with the rows of their batch.",
    "answers": "Sample answers or check suites are worse than the base's.",
    "plateau": "The loss stands still although the rate would let it move.",
    "underfit": "The loss is still falling at the end.",
    "falling": "The loss is still falling.",
    "calibration": "The gap between loss and entropy.",
    "trend": "Too few steps to judge a trend.",
    "progress": "What the training loss did.",
    "healthy": "Nothing wrong to be seen.",
    "rule-of-thumb": "What a preset says; never a verdict.",
}
"""Every rule: its name, and what it stands for."""

_SILENCED = {
    "not-a-number": ("diverging", "rate-too-high", "rate-too-low", "plateau", "underfit", "spike"),
    "rate-too-low": ("plateau", "underfit", "no-transfer"),
    "gradient-zero": (
        "no-transfer",
        "rate-too-low",
        "plateau",
        "underfit",
        "rate-too-high",
        "diverging",
        "spike",
    ),
    "mask-empty": (
        *(
            "no-transfer",
            "rate-too-low",
            "plateau",
            "underfit",
            "calibration",
            "memorised",
            "overfitting",
        ),
        *("rate-too-high", "diverging", "spike", "progress", "gradient-zero"),
    ),
    "diverging": (
        "no-transfer",
        "rate-too-high",
        "plateau",
        "underfit",
        "spike",
        "overfitting",
        "falling",
    ),
    "rate-too-high": ("no-transfer", "plateau", "spike", "overfitting"),
    "no-transfer": ("overfitting", "memorised", "underfit", "falling"),
    "overfitting": ("memorised", "plateau", "underfit", "falling"),
    "memorised": ("plateau", "underfit", "falling"),
}
"""A cause silences what only follows from it."""


def diagnose(
    curves: Curves, facts: Facts | None = None, preset: Preset | None = None
) -> list[Verdict]:
    """What the curves of a run mean, the worst first; works on any curve, empty ones too.

    Pure: a few milliseconds whatever the length. What comes from facts alone (few rows, copies
    between parts) is said as well, so that one list holds everything.
    """
    known = facts or Facts()
    view = View(curves, known)
    found = [verdict for rule in _CURVE_RULES if (verdict := rule(view)) is not None]
    said = {verdict.rule for verdict in found}
    for rule in (early.rows, early.mask, early.adapter):
        verdict = rule(known)
        if verdict is not None and verdict.rule not in said:
            found.append(verdict)
    told = {verdict.rule for verdict in found if verdict.known}
    silent = {rule for cause in told for rule in _SILENCED.get(cause, ())}
    kept = [verdict for verdict in found if verdict.rule not in silent] + answers.doubts(known)
    if not any(v.alarm and v.rule not in ("few-rows", "no-held-out") for v in kept):
        fine = trends.healthy(view)
        kept += [fine] if fine is not None else []
    kept += judge_by(view, preset) if preset is not None else []
    return ordered(kept)


def before(facts: Facts, preset: Preset | None = None) -> list[Verdict]:
    """What is known before step 1, the worst first."""
    found = [verdict for rule in _FACT_RULES if (verdict := rule(facts)) is not None]
    view = View(Curves({}), facts)
    found += judge_by(view, preset) if preset is not None else []
    return ordered(found)
