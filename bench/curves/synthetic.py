"""Curves that were never trained: shapes with known faults, noise of several kinds.

Knows formulas and a seed. The recorded runs are short and of one model; these are 30 to 5,000
steps long, logged every 1 to 10 steps, with Gaussian, heavy-tailed and correlated noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.curves.cases import SCORED, Case, Truth

Floats = npt.NDArray[np.float64]

_RATE = 2e-4
_HIDDEN = 4096


@dataclass(slots=True)
class Shape:
    """A run in the making; arrays over steps 1 to n, evaluations at `at`."""

    random: np.random.Generator
    n: int
    every: int
    loss: Floats
    held: Floats
    norm: Floats
    rate: Floats
    peak: float
    rows: int
    batch: int
    noise: float
    at: npt.NDArray[np.int64]
    spike: int | None = None


def cases(seed: int, each: int, *, tuning: bool = False) -> list[Case]:
    """`each` curves of every fault, and six times as many without."""
    found = []
    for name, plant in _FAULTS.items():
        for number in range(each * (6 if name == "healthy" else 1)):
            # Each curve has a generator of its own: a fault that is added changes no other.
            random = np.random.default_rng([seed, number, *name.encode()])
            found.append(_case(f"{name}/{seed}/{number}", random, plant, name, tuning))
    return found


def _case(
    name: str,
    random: np.random.Generator,
    plant: Callable[[Shape], Truth],
    fault: str,
    tuning: bool,
) -> Case:
    shape = _healthy(random)
    truth: Truth = {**dict.fromkeys(SCORED, False), **plant(shape)}
    curves = dict(_written(shape))
    if fault == "no-held-out":
        del curves["eval_loss"]
    facts = {
        "recipe": {
            "learning_rate": shape.peak,
            "r": 16,
            "per_device_train_batch_size": shape.batch,
            "lr_scheduler_type": "cosine" if shape.rate[-1] < 0.5 * shape.peak else "constant",
        },
        "rows": shape.rows,
        "held_out": 0 if fault == "no-held-out" else max(shape.rows // 10, 50),
        "hidden": _HIDDEN,
        "total_steps": shape.n,
        "ended": True,
        "trained_tokens": None,
    }
    return Case(name, curves, facts, truth, fault == "healthy", False, tuning, shape.spike)


def _healthy(random: np.random.Generator) -> Shape:
    """An exponential fall to a floor, then nearly flat under a rate that decays."""
    n = int(np.exp(random.uniform(np.log(60), np.log(5000))))
    every = int(random.choice([1, 1, 5, 10])) if n >= 400 else 1
    steps = np.arange(1, n + 1) / n
    start = random.uniform(1.5, 6.0)
    floor = start * random.uniform(0.1, 0.7)
    pace = random.uniform(6.0, 30.0)
    slow = random.uniform(0.0, 0.1) * floor
    smooth = floor + (start - floor) * np.exp(-pace * steps) + slow * (1 - steps) ** 2
    noise = random.uniform(0.02, 0.25)
    gap = random.uniform(0.0, 0.2) * floor
    at = np.unique(np.linspace(0, n, int(random.integers(5, 21))).astype(np.int64))
    held = gap + np.interp(at, np.arange(n + 1), np.concatenate([[start], smooth]))
    rate = _RATE * random.uniform(0.5, 2.0)
    warm = max(n // 20, 1)
    decay = 0.5 * (1 + np.cos(np.pi * steps))
    rates = rate * np.minimum(np.arange(1, n + 1) / warm, 1.0) * decay
    norm = random.uniform(0.3, 3.0) * np.exp(random.normal(0, 0.25, n))
    batch = int(random.choice([4, 8, 16, 32]))
    rows = max(int(n * batch / random.uniform(1.0, 4.0)), 600)
    return Shape(
        random, n, every, smooth, held, norm, rates, rate, rows, batch, noise, at
    )  # fmt: skip


def _written(shape: Shape) -> Iterator[tuple[str, list[tuple[float, float | None]]]]:
    """With noise, logged at intervals: the mean of the steps between, as a trainer logs."""
    random, n = shape.random, shape.n
    kind = random.integers(3)
    noise = random.normal(size=n) if kind != 1 else random.standard_t(4, size=n) / np.sqrt(2)
    if kind == 2:
        for i in range(1, n):
            noise[i] = 0.4 * noise[i - 1] + np.sqrt(1 - 0.16) * noise[i]
    loss = shape.loss * np.exp(shape.noise * noise - shape.noise**2 / 2)
    ends = np.arange(shape.every, n + 1, shape.every)
    starts = ends - shape.every
    for name, values in (("loss", loss), ("grad_norm", shape.norm), ("learning_rate", shape.rate)):
        means = np.array([values[a:b].mean() for a, b in zip(starts, ends, strict=True)])
        yield name, list(zip(ends.tolist(), means.tolist(), strict=True))
    wobble = 1 + 0.003 * random.normal(size=len(shape.at))
    yield "eval_loss", list(zip(shape.at.tolist(), (shape.held * wobble).tolist(), strict=True))
    yield "epoch", [(float(n), n * shape.batch / shape.rows)]


def _nothing(_: Shape) -> Truth:
    return {}


def _constant(shape: Shape) -> None:
    """A rate that does not decay."""
    shape.rate = np.minimum(shape.rate[: shape.n].cumsum() * 0 + shape.peak, shape.peak)


def _plateau(shape: Shape) -> Truth:
    """Flat over the last half at a full rate."""
    _constant(shape)
    n, floor = shape.n, float(shape.loss[-1])
    shape.loss = floor + (shape.loss[0] - floor) * np.exp(-25 * np.arange(n) / n)
    shape.held = np.interp(shape.at, np.arange(n), shape.loss) * 1.05
    return {"plateau": True, "underfit": False}


def _underfit(shape: Shape) -> Truth:
    """Stopped on the slope, at a full rate."""
    _constant(shape)
    steps = np.arange(shape.n) / shape.n
    start = float(shape.loss[0])
    shape.loss = start * (0.3 + 0.7 * np.exp(-shape.random.uniform(0.8, 2.0) * steps))
    shape.held = np.interp(shape.at, np.arange(shape.n), shape.loss) * 1.05
    return {"underfit": True}


def _too_low(shape: Shape) -> Truth:
    """A straight, shallow descent at a rate far under the usual."""
    _constant(shape)
    under = shape.random.uniform(10, 100)
    shape.peak /= under
    shape.rate /= under
    steps = np.arange(shape.n) / shape.n
    shape.loss = float(shape.loss[0]) * (1 - shape.random.uniform(0.01, 0.3) * steps)
    shape.held = np.interp(shape.at, np.arange(shape.n), shape.loss)
    return {"rate-too-low": True, "underfit": None, "plateau": None}


def _diverging(shape: Shape) -> Truth:
    """Falls, then leaves for good."""
    n, random = shape.n, shape.random
    shape.peak *= 10
    shape.rate *= 10
    turn = int(n * random.uniform(0.3, 0.7))
    rise = np.clip((np.arange(n) - turn) / max(n * 0.2, 1), 0, 1)
    shape.loss = shape.loss + rise * float(shape.loss[0]) * random.uniform(0.6, 2.0)
    shape.held = np.interp(shape.at, np.arange(n), shape.loss)
    return {"diverging": True, "rate-too-high": True, "overfitting": None, "plateau": None}


def _too_high(shape: Shape) -> Truth:
    """Jumps as the rate peaks, and settles far above what it had reached."""
    n, random = shape.n, shape.random
    shape.peak *= 30
    shape.rate *= 30
    jump = float(shape.loss[0]) * random.uniform(0.3, 1.0)
    steps = np.arange(n) / n
    bump = jump * np.exp(-(((steps - 0.12) / 0.06) ** 2))
    stays = jump * 0.4 * (steps > 0.12)
    shape.loss = shape.loss + bump + stays
    shape.held = np.interp(shape.at, np.arange(n), shape.loss)
    silent = ("diverging", "plateau", "underfit", "overfitting")
    return {"rate-too-high": True, **dict.fromkeys(silent)}


def _overfit(shape: Shape) -> Truth:
    """The held-out loss turns half way while the training loss goes on."""
    random = shape.random
    shape.rows = max(shape.n * shape.batch // int(random.integers(5, 20)), 80)
    turn = random.uniform(0.2, 0.6)
    share = shape.at / shape.n
    shape.loss = shape.loss * np.linspace(1.0, random.uniform(0.1, 0.4), shape.n)
    shape.held = shape.held * (1 + random.uniform(0.1, 1.0) * np.clip(share - turn, 0, 1))
    # It counts as planted where it rose enough to be seen by anyone.
    low, end = float(shape.held.min()), float(shape.held[-1])
    after = len(shape.held) - 1 - int(np.argmin(shape.held))
    seen = True if end > 1.05 * low and after >= 2 else None
    return {"overfitting": seen, "underfit": None, "plateau": None, "memorised": None}


def _no_transfer(shape: Shape) -> Truth:
    """The held-out rows gain next to nothing of what the training rows gain."""
    share = shape.random.uniform(-0.2, 0.15)
    fall = (shape.loss[0] - np.interp(shape.at, np.arange(shape.n), shape.loss)) * share
    shape.held = float(shape.loss[0]) - fall
    return {"no-transfer": True, "overfitting": None, "underfit": None, "plateau": None}


def _leak(shape: Shape) -> Truth:
    """Held-out rows are trained on: their loss is the training loss after the step."""
    shape.rows = max(shape.n * shape.batch // int(shape.random.integers(4, 12)), 80)
    shape.held = np.interp(shape.at, np.arange(shape.n), shape.loss)
    shape.held *= np.where(shape.at > 0, shape.random.uniform(0.6, 0.9), 1.0)
    return {"leak": True, "plateau": None}


def _spike(shape: Shape) -> Truth:
    """One step with rows that do not belong."""
    shape.every = 1
    place = int(shape.random.integers(shape.n // 4, shape.n - 5))
    shape.loss = shape.loss.copy()
    shape.loss[place] *= shape.random.uniform(3.0, 8.0)
    shape.norm[place] *= 6.0
    shape.spike = place + 1
    return {"spike": True}


def _nan(shape: Shape) -> Truth:
    """Not a number from some step on."""
    place = int(shape.random.integers(shape.n // 3, shape.n - 1))
    shape.loss = shape.loss.copy()
    shape.loss[place:] = np.nan
    return {"not-a-number": True, "plateau": None, "underfit": None}


def _frozen(shape: Shape) -> Truth:
    """No gradient, so no fall."""
    shape.norm[:] = 0.0
    shape.loss = np.full(shape.n, float(shape.loss[0]))
    shape.held = np.full(len(shape.at), float(shape.held[0]))
    return {"gradient-zero": True, "plateau": None}


def _masked(shape: Shape) -> Truth:
    """No token has a loss."""
    shape.norm[:] = 0.0
    shape.loss = np.zeros(shape.n)
    return {"mask-empty": True, "gradient-zero": None}


def _few(shape: Shape) -> Truth:
    shape.rows = int(shape.random.integers(4, 60))
    return {"few-rows": True, "leak": None}


def _no_held_out(_: Shape) -> Truth:
    return {"no-held-out": True}


_FAULTS: dict[str, Callable[[Shape], Truth]] = {
    "healthy": _nothing,
    "plateau": _plateau,
    "underfit": _underfit,
    "too-low": _too_low,
    "diverging": _diverging,
    "too-high": _too_high,
    "overfit": _overfit,
    "no-transfer": _no_transfer,
    "leak": _leak,
    "spike": _spike,
    "nan": _nan,
    "frozen": _frozen,
    "masked": _masked,
    "few-rows": _few,
    "no-held-out": _no_held_out,
}
