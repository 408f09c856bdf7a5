"""Spikes, and the rows that were in their batches.

A spike is a step whose log loss and log gradient norm stand far above their neighbours, and clearly
above whatever else the run had: losses of small batches have heavy tails, and the last batch of an
epoch may hold a single row.
"""

from __future__ import annotations

import numpy as np

from engine.diagnosis import robust
from engine.diagnosis.curves import POINTS
from engine.diagnosis.rules import words
from engine.diagnosis.verdict import Verdict
from engine.diagnosis.view import View

OUT = 6.0
"""Robust deviations of the loss alone, where no gradient norm is logged."""

OUT_TOGETHER = 7.5
"""Of loss and gradient norm together, each at least half of `OUT` by itself."""

WINDOW = 50
JUMP = 2.0
"""A spike is so many times what was expected of its step."""

ALONE = 1.8
"""And stands out so many times as far as the loudest hundredth of the other steps."""

FAR_JUMP, FAR_ALONE = 4.0, 2.5
"""The same where the gradient norm is logged and does not stand out."""

_MANY = 0.03
_TOLD = 3


def spikes(view: View) -> Verdict | None:
    """Steps whose loss stands out, the loudest first, with the lines of their rows."""
    found = _spikes(view)
    if not found:
        return None
    # Of a whole stretch that is loud, the rate is to blame and not a row.
    if len(found) > max(_TOLD, _MANY * len(view.loss)):
        return None
    step, value, usual, z = found[0]
    after = view.at("loss", step + 2 * view.loss.logged)
    recovered = after is not None and after < (value + usual) / 2
    rows = [int(line) for line in view.facts.rows_at(step)] if view.facts.rows_at else []
    text = f"loss {words.loss(value)} at step {step}, {words.loss(usual)} was expected"
    others = [item[0] for item in found[1:]]
    if others:
        text += f" (also step {', '.join(map(str, others[:_TOLD]))})"
    if rows:
        text += f"; its batch had {words.lines(rows)}"
    advice = (
        "Look at these rows: wrong answers, another language, noise. "
        if rows
        else "Look at the rows of that step. "
    )
    if not recovered:
        advice += "The loss did not come back at once: lower learning_rate or max_grad_norm."
    evidence = {
        "step": step,
        "loss": value,
        "expected": usual,
        "deviations": z,
        "grad_norm": view.at("grad_norm", step),
        "other_steps": others,
        "rows": rows,
        "recovered": int(recovered),
    }
    knob = "" if recovered else "max_grad_norm"
    return Verdict("spike", "warn", text, evidence, advice, knob, step=step)


def _spikes(view: View) -> list[tuple[int, float, float, float]]:
    """(step, loss, expected loss, deviations) of each spike, the farthest out first."""
    points, n = view.loss, len(view.loss)
    if n < 20:
        return []
    over, expected = _above(points.highs)
    fewer = _short_batches(view)
    far = over / max(robust.noise(np.log(_floored(points.highs))), 0.01) / fewer
    norms = view.curves["grad_norm"]
    if len(norms) == n and np.array_equal(norms.steps, points.steps) and norms.highs.any():
        # Rows that do not belong raise the gradient as well; a heavy tail of the loss does not.
        above, _ = _above(norms.highs)
        loud = above / max(robust.noise(np.log(_floored(norms.highs))), 0.01) / fewer
        both = np.where(np.minimum(far, loud) > OUT / 2, (far + loud) / np.sqrt(2.0), 0.0)
        hit = (both > OUT_TOGETHER) & (both > ALONE * _tail(both)) & (over > np.log(JUMP))
        hit |= (far > OUT) & (far > FAR_ALONE * _tail(far)) & (over > np.log(FAR_JUMP))
    else:
        hit = (far > OUT) & (far > ALONE * _tail(far)) & (over > np.log(JUMP))
    if hit.any():  # The dearest test last: most runs have no spike.
        hit &= robust.outlyingness(over, WINDOW) > OUT / 2
    found = [
        (int(points.peaks[i]), float(points.highs[i]), float(expected[i]), float(far[i]))
        for i in np.flatnonzero(hit).tolist()
    ]
    return sorted(found, key=lambda item: -item[3])


def _tail(far: robust.Floats) -> float:
    """How far out the loudest of the other steps may be expected.

    The loudest of n draws from a heavy tail grows as a root of n; a spike must outgrow that.
    """
    n = len(far)
    others = np.sort(far)[: -max(2, n // 100)]
    return max(float(others[-1]), 1e-9) * float(max(n / 100, 1.0) ** 0.25)


def _short_batches(view: View) -> robust.Floats | float:
    """How many times a step's noise is larger as it closes an epoch with fewer rows, (n,) or 1."""
    rows, batch = view.facts.rows, view.facts.batch
    if not rows or not batch or view.loss.logged > 1 or len(view.loss) == POINTS:
        return 1.0
    left = rows % batch or batch
    last = view.loss.steps % -(-rows // batch) == 0
    return np.where(last, np.sqrt(batch / left), 1.0)


def _above(highs: robust.Floats) -> tuple[robust.Floats, robust.Floats]:
    """How far each log lies above its neighbours' median, and what they expect of it, (n,) both.

    The loss falls, so what was expected of a step is told by both sides.
    """
    logs = np.log(_floored(highs))
    expected = _neighbours(logs)
    return logs - expected, np.exp(expected)


def _floored(highs: robust.Floats) -> robust.Floats:
    """Not below a thousandth of the usual, so that a loss of nothing has a logarithm."""
    return np.maximum(highs, max(float(np.median(highs)) * 1e-3, 1e-9))


def _neighbours(values: robust.Floats) -> robust.Floats:
    """The median of the four points on either side, the point itself left out, (n,)."""
    padded = np.pad(values, 4, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 9)
    around = np.delete(windows, 4, axis=1)
    middle: robust.Floats = np.median(around, axis=1)
    return middle
