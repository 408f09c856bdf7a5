"""Spikes, and the rows that were in their batches.

A spike is a step whose loss or log gradient norm stands 6 robust deviations above the fifty before
it, and clearly above whatever else the run had: real losses have heavy tails, and a batch of long
rows is no spike.
"""

from __future__ import annotations

import numpy as np

from engine.diagnosis import robust
from engine.diagnosis.curves import Points
from engine.diagnosis.rules import words
from engine.diagnosis.verdict import Verdict
from engine.diagnosis.view import View

OUT = 6.0
WINDOW = 50
JUMP = 1.35
"""A spike is so many times what was expected of its step."""

ALONE = 1.6
"""And stands out so many times as far as the loudest hundredth of the other steps."""

_MANY = 0.03
_TOLD = 3


def spikes(view: View) -> Verdict | None:
    """Steps whose loss stands out, the loudest first, with the lines of their rows."""
    found = _spikes(view.loss)
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


def _spikes(points: Points) -> list[tuple[int, float, float, float]]:
    """(step, loss, expected loss, deviations) of each spike, the farthest out first."""
    highs = points.highs
    n = len(highs)
    if n < 20:
        return []
    floor = max(float(np.median(highs)) * 1e-3, 1e-9)
    logs = np.log(np.maximum(highs, floor))
    z = robust.outlyingness(logs, WINDOW)
    # The loss falls, so what was expected of a step is told by its neighbours on both sides.
    expected = _neighbours(highs)
    far = (highs - expected) / max(robust.noise(highs), 1e-9)
    usual = float(np.quantile(far, 0.99)) if n >= 100 else float(np.sort(far)[-min(3, n)])
    rest = np.sort(far)[: -max(2, n // 50)]
    loudest = max(float(rest[-1]), 1.0)
    hit = (z > OUT / 2) & (far > OUT) & (highs > JUMP * expected) & (far > ALONE * loudest)
    del usual
    places = [int(place) for place in np.flatnonzero(hit)]
    found = [
        (int(points.peaks[i]), float(highs[i]), float(expected[i]), float(far[i])) for i in places
    ]
    return sorted(found, key=lambda item: -item[3])


def _neighbours(values: robust.Floats) -> robust.Floats:
    """The median of the four points on either side, the point itself left out, (n,)."""
    padded = np.pad(values, 4, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 9)
    around = np.delete(windows, 4, axis=1)
    middle: robust.Floats = np.median(around, axis=1)
    return middle
