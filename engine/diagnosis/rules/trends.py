"""Where the loss is heading: plateau, underfit at the end, still falling; calibration; healthy.

A flat stretch is only called a plateau where its interval is narrow: that nothing was seen is not
taken for nothing being there.
"""

from __future__ import annotations

import math

import numpy as np

from engine.diagnosis import robust
from engine.diagnosis.robust import Slope
from engine.diagnosis.rules import words
from engine.diagnosis.verdict import Verdict, unknown
from engine.diagnosis.view import EVALUATIONS, FEW, View

FLAT = 0.03
"""Less of the loss than this, over as many steps again as were looked at, is flat."""

FALLING = 0.03
"""More of the loss than this, in the steps ahead, is worth training on for."""

_RATE_LEFT = 0.1
"""With a smaller share of the peak rate the schedule is why nothing moves."""

_CALIBRATED = 0.15
"""Loss and entropy this close (a share of the greater) agree."""

_SMALL_NATS = 0.05


def plateau(view: View) -> Verdict | None:
    """The training loss has not moved for a while although the rate would let it."""
    if len(view.loss) < 2 * FEW:
        return None
    if view.rate_now is not None and view.rate_now < _RATE_LEFT:
        return None
    trend, (now, _) = view.trend, view.now
    if trend is None or now <= max(0.02 * view.start, 0.0):
        return None
    recent = view.loss.steps[view.recent]
    span = float(recent[-1] - recent[0])
    could = -trend.low * span / now
    flat = trend.low <= 0 <= trend.high and could < FLAT
    witness = "training loss"
    held = view.held_trend
    if held is not None and float(view.held.values[-1]) > 0:
        # The held-out loss has no noise of batches: it decides where the training loss cannot.
        least, most = (-s * span / float(view.held.values[-1]) for s in (held.high, held.low))
        still = least > -FLAT and most < FLAT
        if still and -trend.high * span < FLAT * now:
            flat, witness, could = True, "held-out loss", most
        flat = flat and abs(held.value * span / float(view.held.values[-1])) < FLAT
    if not flat:
        return None
    since = int(recent[0])
    text = (
        f"training loss has stood at {words.loss(now)} since step {since}: {_change(trend, span)}"
    )
    evidence = {
        "since_step": since,
        "loss": now,
        "could_fall": could,
        "judged_by": witness,
        **_slope(trend, span),
    }
    if view.fell < 0.05:
        text += "; it has hardly moved since the start"
        advice = "Look at the rows and their mask first, then raise learning_rate 3 to 10 times."
    else:
        advice = (
            "More steps at this rate bring little. A rate that decays (cosine) often lowers it "
            "further; else more rows, or a greater r."
        )
    knob = "lr_scheduler_type" if view.facts.scheduler != "cosine" else "learning_rate"
    return Verdict("plateau", "info", text, evidence, advice, knob, step=since)


def heading(view: View) -> Verdict | None:
    """Underfit where the run is over and the loss still falls; while it runs, that it falls."""
    by_held = view.held_trend is not None and len(view.held) >= EVALUATIONS
    name = "held-out" if by_held else "training"
    trend = view.held_trend if by_held else view.trend
    if trend is None or (not by_held and len(view.loss) < FEW):
        return None
    now = float(view.held.values[-1]) if by_held else view.now[0]
    ahead = view.ahead
    if now <= 0 or trend.high >= 0:
        return None
    late = _late(view, by_held)
    gain = min(-trend.value, late) * ahead
    evidence = {"by": name, "loss": now, "fall_ahead": gain, **_slope(trend, ahead)}
    moves = f"{name} loss still falling ({_change(trend, ahead)}"
    moves += f"; {-gain:+.2g} at the newest pace)" if late < -trend.value else ")"
    if gain < FALLING * now or -trend.high * ahead < 0.25 * FALLING * now:
        return None
    if not view.over:
        return Verdict("falling", "good", moves, evidence)
    text = f"{moves} at the end: {words.loss(now)} was not its floor"
    decayed = view.rate_now is not None and view.rate_now < 0.5
    advice = "Train longer" + (
        ", in a new run: the rate has decayed, so steps added to this one do little."
        if decayed
        else f", for example {ahead} steps more, or raise learning_rate 2 times."
    )
    return Verdict("underfit", "warn", text, evidence, advice, "max_steps")


def _late(view: View, by_held: bool) -> float:
    """What a step of late took off: under a rate that decays, less than the slope before it."""
    if by_held:
        steps, values = view.held.steps[-2:], view.held.values[-2:]
    else:
        n = len(view.loss)
        steps, values = robust.blocks(
            view.loss.steps[n // 2 :], robust.despiked(view.loss.values[n // 2 :]), 4
        )
    return -float(values[-1] - values[-2]) / float(steps[-1] - steps[-2])


def calibration(view: View) -> Verdict | None:
    """The gap between loss and entropy: is the model as sure as it is right?

    For a model whose probabilities are honest, the mean loss is the mean entropy.
    """
    for prefix, name in (("eval_", "held-out"), ("", "training")):
        loss, entropy = view.curves[f"{prefix}loss"], view.curves[f"{prefix}entropy"]
        both, ours, theirs = np.intersect1d(
            loss.steps, entropy.steps, assume_unique=True, return_indices=True
        )
        if len(both) < (2 if prefix else FEW):
            continue
        late = slice(-1, None) if prefix else slice(-max(5, len(both) // 5), None)
        gaps = loss.values[ours][late] - entropy.values[theirs][late]
        gap, error = robust.level(gaps)
        level = float(np.median(loss.values[ours][late]))
        return _calibration(name, level, gap, error, learned=view.fell >= 0.3)
    return None


def _calibration(name: str, level: float, gap: float, error: float, *, learned: bool) -> Verdict:
    greater = max(level, level - gap, 1e-9)
    share = gap / greater
    evidence = {
        "by": name,
        "loss": level,
        "entropy": level - gap,
        "gap": gap,
        "gap_interval": error,
        "share": share,
    }
    numbers = f"{name} loss {words.loss(level)}, entropy {words.loss(level - gap)}"
    if abs(share) <= _CALIBRATED or abs(gap) <= max(_SMALL_NATS, error):
        return Verdict("calibration", "good", f"as sure as it is right: {numbers}", evidence)
    if gap > 0:
        text = f"surer than it is right by {words.loss(gap)} nats a token: {numbers}"
        if not learned:
            advice = "It has its own idea of these rows and has not learned theirs yet."
            return Verdict("calibration", "info", text, evidence, advice, "learning_rate")
        advice = "Fewer epochs or more rows; sample at a higher temperature until then."
        return Verdict("calibration", "info", text, evidence, advice, "num_train_epochs")
    text = f"less sure than it is right by {words.loss(-gap)} nats a token: {numbers}"
    advice = "Common early in training; more steps usually close it."
    return Verdict("calibration", "info", text, evidence, advice, "max_steps")


def progress(view: View) -> Verdict | None:
    """What the training loss did, in words; always said."""
    if not len(view.loss):
        return unknown("progress", "no training loss was logged")
    if len(view.loss) < 2:
        return unknown("progress", "one logged step")
    start, (now, error) = view.start, view.now
    evidence = {
        "first_loss": start,
        "loss": now,
        "loss_interval": error,
        "fell": view.fell,
        "steps": view.curves.last_step,
    }
    fell = start - now > 2 * error and view.fell > 0.02
    return Verdict("progress", "good" if fell else "info", words.fall(view), evidence)


def healthy(view: View) -> Verdict | None:
    """The loss fell by more than its noise; asked only where no rule had anything against it."""
    if len(view.loss) < FEW:
        return None
    (now, error), start = view.now, view.start
    if start - now <= 2 * error or view.fell < 0.05:
        return None
    evidence = {"first_loss": start, "loss": now, "loss_interval": error, "fell": view.fell}
    text = f"nothing wrong to be seen in {view.curves.last_step:,} steps"
    if len(view.held):
        best = float(view.held.values[view.best_held])
        evidence |= {"eval_loss": float(view.held.values[-1]), "best_eval_loss": best}
        text += f"; held-out loss {words.loss(float(view.held.values[-1]))}, its best"
        text += "" if view.held.values[-1] <= best else f" {words.loss(best)}"
    return Verdict("healthy", "good", text, evidence)


def _change(trend: Slope, ahead: float) -> str:
    """`-0.03 in 100 steps, ±0.01`."""
    half = (trend.high - trend.low) / 2 * ahead
    return f"{trend.value * ahead:+.2g} in {ahead:,.0f} steps, ±{max(half, 0.0):.2g}"


def _slope(trend: Slope, ahead: float) -> dict[str, float]:
    return {
        "steps_ahead": ahead,
        "slope_per_step": trend.value,
        "slope_low": trend.low,
        "slope_high": trend.high,
        "independent_points": math.floor(trend.points),
    }
