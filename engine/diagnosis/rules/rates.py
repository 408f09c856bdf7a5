"""The learning rate, as far as the curve shows it: too low, too high, diverging.

A loss that ends high does not prove a low rate: these rules ask for the shape as well (a straight
descent that never bends; a loss far above its own best) and say what they rest on.
"""

from __future__ import annotations

import math

import numpy as np

from engine.diagnosis import robust
from engine.diagnosis.rules import words
from engine.diagnosis.verdict import Verdict, unknown
from engine.diagnosis.view import EVALUATIONS, FEW, View

RISE = 1.5
"""A loss so many times its own best has left it."""

OUT = 6.0
"""Robust deviations that are no accident."""

_ROOM = 0.1
"""A rise is judged against this share of the first loss, so that the noise of a small loss is not
taken for one."""

UNDER = 3.0
"""Below a third of the rates that suit the model a small fall is enough; above it, the descent must
be straight as well."""

JUMP = 1.25
"""A loss so many times its first value has jumped."""

ZIGZAG = 0.25
"""Of its level a held-out loss may go up and down again in all, before it is said to zigzag."""

FAR_OVER = 10.0
"""A rate so many times over what suits the base is no help to a loss that stands."""

FAR_UNDER = 10.0
"""So far under, even a handful of steps is enough to say so."""

_STRAIGHT = 0.35
"""Of a descent that bends, less than this share lies in the second half of the steps."""

_SMALL_FALL = 0.3
_FALL = 0.7


def diverging(view: View) -> Verdict | None:
    """The loss left its best and is rising, or is worse than before training."""
    rise = _rise(view)
    if rise is None:
        return None
    best_step, best, now, z = rise
    trend = view.trend
    rising = trend is not None and trend.low > 0
    held = view.held.values
    worse = now >= 0.9 * view.start or (len(held) > 1 and float(held[-1]) > float(held[0]))
    if not (rising or worse):
        return None
    since = _since(view, best_step)
    how = "is worse than before training" if worse else "is still rising"
    text = (
        f"training loss {how}: {words.loss(now)} now against {words.loss(best)} at step "
        f"{best_step} and {words.loss(view.start)} at the start; it left its course after step "
        f"{since}"
    )
    evidence = {
        "best_loss": best,
        "best_step": best_step,
        "loss": now,
        "first_loss": view.start,
        "deviations": z,
        "since_step": since,
        "slope_per_step": trend.value if trend else None,
        "slope_low": trend.low if trend else None,
        "slope_high": trend.high if trend else None,
    }
    return Verdict(
        "diverging", "bad", text, evidence, _lower(view, "3 to 10 times"), "learning_rate",
        step=since,
    )  # fmt: skip


def too_high(view: View) -> Verdict | None:
    """The loss stays above its best, jumped as the rate peaked, zigzags, or stalled at once."""
    for shape in (_stays_above, _jumped, _zigzags, _lost_ground, _stalled):
        found = shape(view)
        if found is not None:
            return found
    return None


def too_low(view: View) -> Verdict | None:
    """The rate is under what suits the model, and the loss falls in a straight, shallow line."""
    rate, n = view.rate, len(view.loss)
    if rate is None or n < 2 or not view.facts.language:
        return None
    low = view.facts.suited_rates[0]
    far = rate < low / FAR_UNDER
    if rate >= low or (n < FEW and not (far and view.over)):
        return None
    fell, bent, source = _descent(view)
    straight = bent is not None and bent >= _STRAIGHT
    small = (fell < _SMALL_FALL or bent is None) and rate < low / UNDER
    if fell >= _FALL or not (small or straight):
        return None
    text = f"{words.went(view)}, at a rate of {words.rate(rate)}"
    if rate < 1e-4 and view.facts.r:
        text += f", {words.under_usual(rate)} under the usual {words.usual()}"
    if view.facts.hidden and low > 1.2e-4:
        text += f" ({words.count(low / rate)}× under what suits a base {view.facts.hidden} wide)"
    text += ". The rate is probably too low"
    if straight and bent is not None:
        text += f": {bent * 100:.0f} % of the fall came in the second half, so it never bent"
    if view.now[0] > 1.0:
        text += "; above 1.0 the answers still surprise the model"
    evidence = {
        "learning_rate": rate,
        "suited_low": low,
        "suited_high": view.facts.suited_rates[1],
        "first_loss": view.start,
        "loss": view.now[0],
        "loss_interval": view.now[1],
        "fell": fell,
        "fell_in_second_half": bent,
        "judged_by": source,
        "steps": view.curves.last_step,
    }
    times = low / rate
    advice = (
        f"Raise learning_rate to {words.rate(low)} or so ({words.count(times)}×) and start again; "
        "a low final loss alone would not prove it, a second run does."
    )
    return Verdict("rate-too-low", "warn", text, evidence, advice, "learning_rate")


def rate_unknown(view: View) -> Verdict | None:
    """Say so where there are too few steps to judge a rate by."""
    if 0 < len(view.loss) < FEW:
        why = f"only {len(view.loss)} logged steps; {FEW} are needed to judge a trend"
        return unknown("trend", why, "Train on, or log more often.", "max_steps")
    return None


def _rise(view: View) -> tuple[int, float, float, float] | None:
    """(best step, best, now, deviations) of a loss that left its best for good."""
    n = len(view.loss)
    if n < FEW:
        return None
    smooth = view.smooth
    place = int(np.argmin(smooth[2:])) + 2 if n > 2 else 0
    best = float(smooth[place])
    now = float(np.median(smooth[-max(3, n // 20) :]))
    error = _smooth_noise(view)
    z = (now - best) / max(error, 1e-9)
    far = now > RISE * best and now - best > _ROOM * abs(view.start)
    first, doubt = _first(view)
    lost = now > JUMP * first and now - first > OUT / 2 * doubt
    held = view.held.values
    lost |= len(held) > 1 and float(held[-1]) > JUMP * float(held[0]) and now > first
    if not (far or lost) or z < OUT or n - place < 5:
        return None
    return int(view.loss.steps[place]), best, now, z


def _stays_above(view: View) -> Verdict | None:
    """The loss left its best for good without rising further."""
    rise = _rise(view)
    if rise is None:
        return None
    step, best, now, z = rise
    text = (
        f"training loss {words.loss(now)} stays above the {words.loss(best)} it had at step "
        f"{step}: the steps are too long to settle"
    )
    evidence = {"shape": "stays above", "best_loss": best, "best_step": step, "loss": now}
    return _too_high(view, text, {**evidence, "deviations": z}, step)


def _jumped(view: View) -> Verdict | None:
    """The loss went up before it came down."""
    if len(view.loss) < FEW:
        return None
    early = slice(5, max(len(view.loss) // 2, FEW))
    smooth = view.smooth[early]
    place = int(np.argmax(smooth))
    top, step = float(smooth[place]), int(view.loss.steps[early][place])
    first, error = _first(view)
    z = (top - first) / max(error, 1e-9)
    if top < JUMP * first or z < OUT / 2:
        return None
    text = (
        f"training loss rose from {words.loss(first)} to {words.loss(top)} by step {step} "
        "before it fell: the first steps were too long"
    )
    evidence = {"shape": "jumped", "first_loss": first, "top_loss": top, "top_step": step}
    return _too_high(view, text, {**evidence, "deviations": z}, step)


def _zigzags(view: View) -> Verdict | None:
    """The held-out loss goes up and down: the same rows each time, so it is no noise of batches.

    Half of what the curve travels beyond its net change, against its own level. Overfitting
    travels one way.
    """
    values = view.held.values[1:]
    if len(values) < EVALUATIONS:
        return None
    moves = np.diff(values)
    back = (float(np.abs(moves).sum()) - abs(float(moves.sum()))) / 2
    scale = float(np.median(values)) + 0.05 * float(view.held.values[0])
    turns = int((np.diff(np.sign(moves)) != 0).sum())
    if scale <= 0 or back < ZIGZAG * scale or turns < 2:
        return None
    text = (
        f"held-out loss zigzags between {words.loss(float(values.min()))} and "
        f"{words.loss(float(values.max()))} ({turns} turns in {len(values)} evaluations): the "
        "steps are too long to settle"
    )
    evidence = {"shape": "zigzags", "travelled_back": back, "share": back / scale, "turns": turns}
    return _too_high(view, text, evidence, int(view.held.steps[1]))


def _lost_ground(view: View) -> Verdict | None:
    """The held-out loss rose far above its best, and the training loss did not fall meanwhile."""
    held = view.held
    if len(held) < EVALUATIONS or len(view.loss) < FEW:
        return None
    place = view.best_held
    best, now, step = float(held.values[place]), float(held.values[-1]), int(held.steps[place])
    far = float(held.values[-2:].min()) > JUMP * best and now - best > _ROOM * float(held.values[0])
    then = view.around(step)
    if not far or then is None or view.now[0] < 0.95 * then:
        return None
    text = (
        f"held-out loss rose from {words.loss(best)} at step {step} to {words.loss(now)}, and "
        "training loss did not fall meanwhile: the steps are too long to settle"
    )
    evidence = {"shape": "lost ground", "best_eval_loss": best, "best_step": step, "eval_loss": now}
    return _too_high(view, text, evidence, step)


def _stalled(view: View) -> Verdict | None:
    """At a rate far over what suits the base, the loss fell at once and then stood, still high."""
    rate, high, n = view.rate, view.facts.suited_rates[1], len(view.loss)
    far = rate is not None and rate >= FAR_OVER * high and view.facts.language
    if rate is None or not far or n < 2 * FEW or view.fell > 0.75:
        return None
    half = float(view.smooth[n // 2])
    now = view.now[0]
    if half - now > 0.15 * half:
        return None
    text = (
        f"training loss stands at {words.loss(now)} since half way, at a rate of "
        f"{words.rate(rate)}, {words.count(rate / high)}× over what suits this base"
    )
    evidence = {"shape": "stalled", "learning_rate": rate, "suited_high": high, "loss": now}
    return _too_high(view, text, {**evidence, "loss_half_way": half}, int(view.loss.steps[n // 2]))


def _too_high(view: View, text: str, evidence: dict[str, object], step: int) -> Verdict:
    return Verdict(
        "rate-too-high", "warn", text, evidence, _lower(view, "3 times"), "learning_rate",
        step=step,
    )  # fmt: skip


def _first(view: View) -> tuple[float, float]:
    """The greatest of the first three losses, and the standard deviation of one loss that early.

    A few batches say little of where a run began: what is above all of them is above.
    """
    early = view.loss.values[: max(len(view.loss) // 4, FEW)]
    return float(view.loss.values[:3].max()), robust.noise(early)


def _smooth_noise(view: View) -> float:
    """Standard deviation of the smoothed loss: an average of span w has 1/w of the variance."""
    window = max(5.0, 0.08 * len(view.loss))
    return view.noise / math.sqrt(window)


def _since(view: View, best_step: int) -> int:
    """The step after which the loss changed its level, by Pettitt's test from the best on."""
    kept = view.loss.steps >= best_step
    steps, values = view.loss.steps[kept], view.loss.values[kept]
    place, chance = robust.change(values)
    return int(steps[place - 1]) if place and chance < 0.05 else best_step


def _descent(view: View) -> tuple[float, float | None, str]:
    """How much fell, which share of that in the second half, and by which curve.

    The held-out loss has no noise of batches, so it is preferred. The share is None where the
    noise is larger than the fall.
    """
    held = view.held
    if len(held) >= EVALUATIONS and held.values[0] > 0:
        steps, values, error = held.steps, held.values, robust.noise(held.values)
        source = "held-out loss"
    else:
        steps, values = robust.blocks(view.loss.steps, view.loss.values, 8)
        error = view.noise / math.sqrt(max(len(view.loss) / 8, 1.0))
        source = "training loss"
    total = float(values[0] - values[-1])
    fell = total / float(values[0]) if values[0] > 0 else 0.0
    if total <= 2 * error or len(values) < EVALUATIONS:
        return fell, None, source
    middle = float(np.interp((steps[0] + steps[-1]) / 2, steps, values))
    return fell, (middle - float(values[-1])) / total, source


def _lower(view: View, by: str) -> str:
    rate = view.rate
    now = f" from {words.rate(rate)}" if rate else ""
    advice = f"Lower learning_rate{now} {by}, or raise warmup_steps; "
    saved = [step for step, _ in view.facts.checkpoints]
    return advice + (
        f"checkpoints are kept from step {min(saved)} on." if saved else "then start again."
    )
