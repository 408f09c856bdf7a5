"""Statistics that a few wild points do not spoil: slopes, noise, outliers, changes of level.

Knows arrays of float64 without NaN. Does not know training. All of it is closed form and quick;
nothing here draws random numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NORMAL = 1.4826
"""A median absolute deviation times this is the standard deviation of a normal distribution."""

Z95 = 1.959964
_MOST = 120
"""Points that a slope is computed from; more are averaged in blocks first (n² pairs)."""


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope a step, its 95 % interval, and how many independent points it rests on."""

    value: float
    low: float
    high: float
    points: float


def ema(values: Floats, window: float) -> Floats:
    """Exponential moving average of span `window` points, (n,) to (n,), without a start-up bias.

    Source: the bias correction of Adam, Kingma and Ba 2015, section 3.
    """
    keep = 1.0 - 2.0 / (max(window, 1.0) + 1.0)
    out, total, weight = np.empty(len(values)), 0.0, 0.0
    for place, value in enumerate(values.tolist()):
        total = keep * total + (1.0 - keep) * value
        weight = keep * weight + (1.0 - keep)
        out[place] = total / weight
    return out


def despiked(values: Floats, reach: int = 2) -> Floats:
    """The running median of each point and `reach` neighbours on either side, (n,) to (n,).

    Source: Tukey 1977. What lasts no longer than `reach` points is gone.
    """
    if len(values) <= 2 * reach:
        return values
    padded = np.pad(values, reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    middle: Floats = np.median(windows, axis=1)
    return middle


def noise(values: Floats) -> float:
    """Standard deviation of the scatter about a slow trend, from differences of neighbours.

    Differences cancel the trend and their median ignores spikes. Source: Rousseeuw and Croux 1993
    for the MAD; von Neumann 1941 for differences. 0 for fewer than three points.
    """
    if len(values) < 3:
        return 0.0
    return float(np.median(np.abs(np.diff(values)))) * NORMAL / math.sqrt(2.0)


def autocorrelation(values: Floats) -> float:
    """Lag-1 correlation of what is left after a straight line, 0 to 0.95; 0 where not significant.

    Source: Yue and Wang 2004; below the 95 % bound of white noise it is taken as none.
    """
    n = len(values)
    if n < 8:
        return 0.0
    places = np.arange(n) - (n - 1) / 2
    rest = values - values.mean()
    rest = rest - places * float(places @ rest) / float(places @ places)
    power = float(rest @ rest)
    if power <= 0.0:
        return 0.0
    found = float(rest[1:] @ rest[:-1]) / power
    return min(found, 0.95) if found > Z95 / math.sqrt(n) else 0.0


def independent(values: Floats) -> float:
    """How many independent points the series is worth: n (1 - rho) / (1 + rho)."""
    rho = autocorrelation(values)
    return max(len(values) * (1 - rho) / (1 + rho), 1.0)


def theil_sen(steps: Floats, values: Floats) -> Slope | None:
    """The median of all pairwise slopes, with Sen's interval; None below four points.

    The variance of Kendall's S behind the interval is widened by what lag-1 correlation takes from
    the number of independent points. Sources: Theil 1950, Sen 1968; Yue and Wang 2004.
    """
    x, y = blocks(steps, values, _MOST)
    n = len(x)
    if n < 4 or x[-1] <= x[0]:
        return None
    first, second = np.triu_indices(n, 1)
    run = x[second] - x[first]
    slopes = np.sort((y[second] - y[first])[run > 0] / run[run > 0])
    worth = independent(y)
    spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18.0 * (n / worth))
    half, middle = Z95 * spread / 2.0, (len(slopes) - 1) / 2.0
    low = slopes[max(math.floor(middle - half), 0)]
    high = slopes[min(math.ceil(middle + half), len(slopes) - 1)]
    return Slope(float(np.median(slopes)), float(low), float(high), worth)


def level(values: Floats) -> tuple[float, float]:
    """The median and half the width of its 95 % interval.

    The scatter is that of neighbours, the count that of independent points; pi/2 is the price of
    a median against a mean. (nan, nan) for no point.
    """
    if not len(values):
        return math.nan, math.nan
    error = noise(values) * math.sqrt(math.pi / 2 / independent(values))
    return float(np.median(values)), Z95 * error


def outlyingness(values: Floats, window: int) -> Floats:
    """How many robust deviations each point lies above the `window` points before it, (n,).

    Median and MAD of the points before, so that a spike hides neither itself nor the next. The
    first points, which have fewer than eight before them, are compared with the eight that follow.
    Source: Hampel 1974.
    """
    n = len(values)
    if n < 12:
        return np.zeros(n)
    window = min(window, n - 1)
    padded = np.concatenate([np.full(window, np.nan), values[:-1]])
    before = np.lib.stride_tricks.sliding_window_view(padded, window)[:n].copy()
    for place in range(8):
        before[place] = np.nan
        before[place, :8] = values[place + 1 : place + 9]
    middle, spread = _middle_and_mad(before)
    scale = spread * NORMAL
    floor = max(noise(values), 1e-12)
    return (values - middle) / np.maximum(scale, 0.5 * floor)


def _middle_and_mad(rows: Floats) -> tuple[Floats, Floats]:
    """Row medians and median absolute deviations, NaN left out; (n, w) to (n,), (n,)."""
    count = np.isfinite(rows).sum(axis=1)
    middle = _row_median(rows, count)
    return middle, _row_median(np.abs(rows - middle[:, None]), count)


def _row_median(rows: Floats, count: npt.NDArray[np.int64]) -> Floats:
    """`numpy.nanmedian` by rows, ten times as fast: NaN sorts last."""
    ordered = np.sort(rows, axis=1)
    each = np.arange(len(rows))
    picked: Floats = (ordered[each, (count - 1) // 2] + ordered[each, count // 2]) / 2.0
    return picked


def change(values: Floats) -> tuple[int, float]:
    """Where a series changes its level most, and the p-value that it does not.

    Returns:
        (the index of the first point after the change, p); (0, 1.0) below eight points.
    Source: Pettitt 1979, rank statistic, with his approximation of p.
    """
    n = len(values)
    if n < 8:
        return 0, 1.0
    ranks = np.argsort(np.argsort(values, kind="stable")) + 1.0
    sums = 2.0 * np.cumsum(ranks)[:-1] - np.arange(1, n) * (n + 1.0)
    place = int(np.argmax(np.abs(sums)))
    most = abs(float(sums[place]))
    worth = independent(values) / n
    return place + 1, min(2.0 * math.exp(-6.0 * most**2 * worth / (n**3 + n**2)), 1.0)


def blocks(steps: Floats, values: Floats, most: int) -> tuple[Floats, Floats]:
    """Neighbours averaged until at most `most` points are left."""
    n = len(values)
    if n <= most:
        return steps, values
    edges = np.linspace(0, n, most + 1).astype(np.int64)[:-1]
    size = np.diff(np.append(edges, n))
    return np.add.reduceat(steps, edges) / size, np.add.reduceat(values, edges) / size


def sign_test(below: int, above: int) -> float:
    """The chance of `below` or more of `below + above`, were both as likely (one-sided)."""
    n = below + above
    return sum(math.comb(n, k) for k in range(below, n + 1)) / 2.0**n if n else 1.0


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share. Source: Wilson 1927."""
    if of == 0:
        return 0.0, 1.0
    share, z2 = hits / of, Z95**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of**2)) / (1 + z2 / of)
    return max(middle - half, 0.0), min(middle + half, 1.0)
