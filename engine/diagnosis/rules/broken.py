"""Runs that cannot come to anything: not a number, no gradient, nothing to learn from.

Sources: axolotl's training_stability guide (a gradient norm that was fine the step before a NaN
puts the fault in the forward pass; 0.0 is a frozen adapter).
"""

from __future__ import annotations

import numpy as np

from engine.diagnosis.rules import words
from engine.diagnosis.verdict import Evidence, Verdict
from engine.diagnosis.view import View

_IN_A_ROW = 3
_NOTHING = 1e-12
_LOUD = 10.0
"""A gradient norm so many times its median was no good sign."""


def not_a_number(view: View) -> Verdict | None:
    """The loss or the gradient is NaN or infinite."""
    bad = [
        (float(view.curves[name].bad[0]), name)
        for name in ("loss", "grad_norm", "eval_loss")
        if len(view.curves[name].bad)
    ]
    if not bad:
        return None
    step, name = min(bad)
    what = {"loss": "loss", "grad_norm": "gradient norm", "eval_loss": "held-out loss"}[name]
    before = view.at("grad_norm", step - 1)
    norms = view.curves["grad_norm"].values
    loud = before is not None and before > _LOUD * float(np.median(norms))
    saved = max((at for at, _ in view.facts.checkpoints if at < step), default=None)
    learned = view.at("loss", step - 1)
    knob, advice = _cause(loud, before is not None, learned is not None)
    if saved is not None:
        advice += f" The last checkpoint before it is step {saved}."
    evidence = {
        "first_bad_step": int(step),
        "metric": name,
        "bad_points": sum(len(view.curves[n].bad) for n in ("loss", "grad_norm", "eval_loss")),
        "last_loss": learned,
        "grad_norm_before": before,
        "last_good_checkpoint": saved,
        **_rows(view, int(step)),
    }
    text = f"the {what} is not a number at step {int(step)}{_named(evidence)}"
    return Verdict("not-a-number", "bad", text, evidence, advice, knob, step=int(step))


def _cause(loud: bool, measured: bool, learned: bool) -> tuple[str, str]:
    """The knob to turn, and why, by what the gradient did before."""
    if loud:
        why = "The gradient grew before it: lower learning_rate, or raise warmup_steps."
        return "learning_rate", why
    look = "look at the rows of this step"
    if measured:
        why = "The gradient was ordinary the step before, so the forward pass is at fault"
        return "dtype", f"{why}: {look}, or train in another dtype."
    if not learned:
        why = "Nothing was learned before it, so no rate is at fault: copy the base's weights again"
        return "dtype", f"{why}, {look}, or train in another dtype."
    why = "No gradient norm was logged before it, so its cause cannot be told"
    return "learning_rate", f"{why}: lower learning_rate first; if it comes again, {look}."


def gradient_zero(view: View) -> Verdict | None:
    """The gradient norm is exactly nothing for several logs."""
    norms = view.curves["grad_norm"]
    if len(norms) < _IN_A_ROW:
        return None
    zero = norms.highs <= _NOTHING
    run = _last_run(zero)
    if run < _IN_A_ROW:
        return None
    since = int(norms.steps[len(zero) - run])
    text = f"the gradient has been exactly zero since step {since} ({run} logs in a row)"
    return Verdict(
        "gradient-zero",
        "bad",
        text,
        {"since_step": since, "logs": run, "loss": view.at("loss", since)},
        "Nothing is learned: the adapter is frozen, sits on no layer that is used, or no token "
        "has a loss. Look at target_modules and at the loss mask of the rows.",
        "target_modules",
        step=since,
    )


def mask_empty(view: View) -> Verdict | None:
    """No token has a loss: known from the rows, or the loss is zero from the first step on."""
    advice = "Look at the loss mask in the Data room: answers must come from the assistant."
    facts = view.facts
    if facts.trained_tokens == 0:
        text = "no token of the training rows has a loss: the mask is empty"
        return Verdict("mask-empty", "bad", text, {"trained_tokens": 0}, advice)
    values = view.loss.highs
    if len(values) < _IN_A_ROW or np.abs(values[:_IN_A_ROW]).max() > _NOTHING:
        return None
    run = int(np.argmin(np.abs(values) <= _NOTHING)) or len(values)
    text = f"the loss is exactly zero from the first step on ({run} logs): no token has a loss"
    return Verdict("mask-empty", "bad", text, {"logs": run, "loss": 0.0}, advice)


def _last_run(flags: np.ndarray) -> int:
    """How many flags at the end are set."""
    off = np.flatnonzero(~flags)
    return len(flags) - (int(off[-1]) + 1 if len(off) else 0)


def _rows(view: View, step: int) -> dict[str, list[int]]:
    rows = view.facts.rows_at
    return {"rows": list(rows(step))} if rows else {}


def _named(evidence: Evidence) -> str:
    rows = evidence.get("rows")
    return f"; its batch had {words.lines(rows)}" if isinstance(rows, list) and rows else ""
