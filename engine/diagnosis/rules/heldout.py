"""What the held-out rows say: overfitting, memorising, leakage, and when nothing can be said.

The held-out set is the same at every evaluation, so its loss carries no noise of batches; what
scatter it has is measured from the curve itself.
"""

from __future__ import annotations

import math

import numpy as np

from engine.diagnosis import robust
from engine.diagnosis.rules import words
from engine.diagnosis.verdict import Verdict, unknown
from engine.diagnosis.view import EVALUATIONS, View

RISE = 0.02
"""A held-out loss this share above its best, twice in a row, has turned."""

_KNOWN_BY_HEART = 0.08
"""A training loss below this share of its first value leaves little to learn."""

_GAP = 3.0
_LEAK_SHARE = 0.03
_LEARNED = 0.25
_SHARED = 1 / 3
"""Held-out rows of the same kind gain at least this share of what the training rows gain."""
_FAR_BELOW = 5.0
_BY_HEART = 5.0
"""Passes after which rows can be known by heart."""


def no_held_out(view: View) -> Verdict | None:
    """No row is held out, so much cannot be told."""
    if len(view.held) or (view.facts.held_out or 0) > 0:
        return None
    if view.facts.held_out is None and not len(view.loss):
        return None
    return Verdict(
        "no-held-out",
        "warn",
        "no row is held out: nothing tells learning from learning by heart",
        {"held_out": 0},
        "Hold out a tenth, better 50 to 100 rows: test_size=0.1, or split the dataset.",
        "test_size",
    )


def overfitting(view: View) -> Verdict | None:
    """The held-out loss turned while the training loss went on falling."""
    held = view.held
    if not len(held) and view.facts.held_out:
        return unknown("overfitting", "no evaluation so far", "Set eval_steps.", "eval_steps")
    if not len(held):
        return unknown(
            "overfitting", "no held-out rows", "Set test_size=0.1 in the next run.", "test_size"
        )
    if len(held) < EVALUATIONS - 1:
        return unknown(
            "overfitting",
            f"{len(held)} evaluation{'s' if len(held) > 1 else ''} so far, "
            f"{EVALUATIONS - 1} are needed",
            "Evaluate more often: set eval_steps.",
            "eval_steps",
        )
    place = view.best_held
    best, now = float(held.values[place]), float(held.values[-1])
    after = held.values[place + 1 :]
    error = robust.noise(held.values[max(place - 2, 0) :]) if len(after) > 2 else 0.0
    need = best + max(RISE * abs(best), 1.5 * error)
    turned = len(after) >= 2 and bool((after[-2:] > need).all())
    if not turned:
        return None
    step = int(held.steps[place])
    then, trained = view.at("loss", step), view.now[0]
    falls = _training_fell_since(view, step)
    if not falls:
        return None
    saved = best_checkpoint(view)
    text = (
        f"overfitting after step {step}: held-out loss {words.loss(best)} there, "
        f"{words.loss(now)} now ({words.risen(now, best)}), above its best in "
        f"{int((after > need).sum())} of {len(after)} evaluations since"
    )
    if then is not None:
        text += f", while training loss went on to {words.loss(trained)}"
    evidence = {
        "began_after_step": step,
        "best_eval_loss": best,
        "eval_loss": now,
        "rise": now / best - 1 if best > 0 else None,
        "needed_rise": need - best,
        "training_loss": trained,
        "best_checkpoint": saved,
    }
    take = f"Take the checkpoint of step {saved}. " if saved is not None else ""
    advice = f"{take}Train fewer epochs, or on more rows; lora_dropout and a smaller r help less."
    severity = "bad" if now > 1.1 * best else "warn"
    knob = "num_train_epochs"
    return Verdict("overfitting", severity, text, evidence, advice, knob, step=step)  # type: ignore[arg-type]


def no_transfer(view: View) -> Verdict | None:
    """The training loss fell a good deal and the held-out loss hardly."""
    held, fell = view.held, view.fell
    if len(held) < EVALUATIONS or len(view.loss) < 2 * EVALUATIONS or fell < _LEARNED:
        return None
    if view.start - view.now[0] < 3 * view.noise:
        return None  # A few batches at the start may just have been hard.
    first, now, best = (float(v) for v in (held.values[0], held.values[-1], held.values.min()))
    if first <= 0 or held.steps[0] > 0.1 * held.steps[-1]:
        return None  # What it was before training is not known.
    gained, most = 1 - now / first, 1 - best / first
    if gained > _SHARED * fell or most > _SHARED * fell:
        return None
    text = (
        f"training loss fell by {fell * 100:.0f} %, held-out loss by {gained * 100:.0f} %: what is "
        "learned does not help the held-out rows"
    )
    evidence = {"fell": fell, "eval_fell": gained, "first_eval_loss": first, "eval_loss": now}
    advice = (
        "They are of another kind, or the answers of the training rows are wrong: look at both, "
        "and split the dataset anew so that each part has every kind."
    )
    return Verdict("no-transfer", "warn", text, evidence, advice, "test_size")


def memorised(view: View) -> Verdict | None:
    """The training rows are known by heart and the held-out loss stands still far above."""
    held = view.held
    if len(held) < EVALUATIONS or len(view.loss) < 8 or view.start <= 0:
        return None
    trained, best = view.now[0], float(held.values.min())
    late = held.values[-2:]
    still = float(np.ptp(held.values[-3:])) < 0.05 * best
    if trained > _KNOWN_BY_HEART * view.start or not still or late.min() < _GAP * trained:
        return None
    if best < 0.02 * float(held.values[0]):
        return None  # Held-out rows are known as well: there was nothing more to learn.
    first = int(held.steps[np.argmax(held.values <= best * 1.05)])
    text = (
        f"the training rows are known by heart (loss {words.loss(trained)}), held-out loss has "
        f"stood at {words.loss(best)} since step {first}: further steps teach nothing new"
    )
    evidence = {"training_loss": trained, "eval_loss": best, "since_step": first}
    advice = "More or more varied rows; fewer epochs give the same for less."
    return Verdict(
        "memorised", "info", text, evidence, advice, "num_train_epochs", step=first
    )  # fmt: skip


def leak(view: View) -> Verdict | None:
    """Held-out rows are among the training rows, or look as if they were."""
    copies = view.facts.duplicates
    if copies:
        of = f" of {view.facts.held_out:,}" if view.facts.held_out else ""
        text = f"{copies:,}{of} held-out rows are exact copies of training rows"
        return Verdict(
            "leak",
            "bad",
            f"{text}: the held-out loss is too good",
            {"duplicates": copies, "held_out": view.facts.held_out},
            "Split anew: a recorded split keeps equal rows in one part.",
            "test_size",
        )
    if _summed(view):
        why = f"training loss is logged as a sum over {view.facts.accumulation} accumulated batches"
        return unknown("leak", why, "Compare runs made with transformers 4.46 or later.")
    found = _too_good(view) or _below(view)
    if found is None:
        return None
    text, evidence = found
    known = "no exact copy was found, but near ones may be" if copies == 0 else "copies unknown"
    dropout = view.facts.lora_dropout
    advice = (
        "Rows that follow one rule, or are easier, do the same. Look for near-duplicates between "
        "the parts, and split by group."
    )
    if dropout:
        advice = f"lora_dropout={dropout:g} raises the training loss and explains a part. {advice}"
    evidence |= {"duplicates": copies, "lora_dropout": dropout, "epochs": view.epochs}
    text = f"{text}: held-out rows may be among the training rows ({known})"
    return Verdict("leak", "info" if copies == 0 else "warn", text, evidence, advice, "test_size")


def _summed(view: View) -> bool:
    """Whether training loss is some accumulated losses' sum, as old trainers logged it.

    Source: the gradient accumulation fault of transformers before 4.46. Told by its first value:
    that many times the held-out loss before anything was learned.
    """
    times, held = view.facts.accumulation, view.held
    if times < 2 or not len(held) or not len(view.loss) or held.values[0] <= 0:
        return False
    return bool(0.8 < view.start / (times * float(held.values[0])) < 1.2)


def _too_good(view: View) -> tuple[str, dict[str, object]] | None:
    """The training rows are known by heart after many passes, and the held-out rows as well."""
    held, epochs, start = view.held, view.epochs, view.start
    if len(held) < EVALUATIONS or len(view.loss) < 20 or epochs is None or epochs < _BY_HEART:
        return None
    trained, error = view.now
    value = float(held.values[-1])
    nothing = value < 0.01 * float(held.values[0])
    if trained > 0.5 * _KNOWN_BY_HEART * start or not (nothing or value < 1.1 * trained + error):
        return None
    text = (
        f"after {epochs:.0f} passes the training rows are known by heart "
        f"({words.loss(trained)}), and the held-out rows just as well ({words.loss(value)})"
    )
    return text, {"shape": "too good", "training_loss": trained, "eval_loss": value}


def _below(view: View) -> tuple[str, dict[str, object]] | None:
    """The held-out loss lies below the training loss, evaluation after evaluation."""
    gaps = _gaps(view)
    if gaps is None:
        return None
    below, n, middle, chance = gaps
    text = (
        f"held-out loss lies {words.loss(-middle)} below training loss after "
        f"{view.epochs or 0:.1f} passes ({below} of {n} evaluations, p = {chance:.2g})"
    )
    evidence = {"shape": "below", "below": below, "evaluations": n, "median_gap": middle}
    return text, {**evidence, "p": chance}


def best_checkpoint(view: View) -> int | None:
    """The kept checkpoint with the lowest held-out loss; the nearest one where none has it."""
    saved = view.facts.checkpoints
    measured = [(loss, step) for step, loss in saved if loss is not None]
    if measured:
        return min(measured)[1]
    best = float(view.held.steps[view.best_held]) if len(view.held) else None
    if best is None or not saved:
        return None
    return min((step for step, _ in saved), key=lambda step: abs(step - best))


def _training_fell_since(view: View, step: int) -> bool:
    """Whether the training loss is lower than it was at a step, or at nearly nothing."""
    then = view.around(step)
    if then is None:
        return False
    return view.now[0] < then or view.now[0] < _KNOWN_BY_HEART * view.start


def _gaps(view: View) -> tuple[int, int, float, float] | None:
    """(below, n, median gap, p of their signs) of evaluations after the first pass below training.

    Each evaluation is compared with the training steps around it: half before, half after, so
    that a falling loss favours neither. None where that is no pattern, or dropout explains it.
    """
    held, loss, epoch = view.held, view.loss, view.facts.epoch_steps
    epochs = view.epochs
    if len(held) < EVALUATIONS or len(loss) < 20 or epochs is None or epochs < 2.5:
        return None
    first = epoch if epoch is not None else view.curves.last_step / epochs
    reach = max(float(np.median(np.diff(held.steps))) / 2, loss.logged * 2)
    gaps, far = [], 0.0
    for step, value in zip(held.steps.tolist(), held.values.tolist(), strict=True):
        near = loss.values[np.abs(loss.steps - step) <= reach]
        if step > first * 1.5 and len(near) >= 3:
            gaps.append(value - float(np.mean(near)))
            far += gaps[-1] / max(robust.noise(near) / math.sqrt(len(near)), 1e-9)
    if len(gaps) < EVALUATIONS - 1:
        return None
    scale = max(abs(float(np.median(loss.values[-len(loss) // 3 :]))), 1e-6)
    middle = float(np.median(gaps))
    slack = _LEAK_SHARE * scale * (1.0 + 10.0 * (view.facts.lora_dropout or 0.0))
    # Rows that were easier before anything was learned may stay so.
    before = view.start > 0 and held.steps[0] < loss.steps[0]
    easier = 1 - float(held.values[0]) / view.start if before else 0.0
    slack += max(easier, 0.0) * scale
    below = sum(gap < 0 for gap in gaps)
    chance = robust.sign_test(below, len(gaps) - below)
    # Few evaluations cannot reach 5 % by their signs alone; how far they lie below can.
    sure = chance <= 0.05 or (below == len(gaps) and far / math.sqrt(len(gaps)) < -_FAR_BELOW)
    if middle > -slack or not sure:
        return None
    return below, len(gaps), middle, chance
