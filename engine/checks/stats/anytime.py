"""Votes that are looked at after each one, by somebody who may stop or go on as they please.

Knows arithmetic alone. A test for a number of votes fixed before would be fooled: of fair coins
looked at after each of 400 throws the sign test calls a third unfair. Here the evidence is a bet
against the fair coin, which nobody expects to win money with: the chance that it ever stands at 20
to 1 or more is at most 1 in 20 (Ville 1939; Robbins 1970; Ramdas et al. 2023).
"""

from __future__ import annotations

import math

from engine.checks.stats.rates import at_least

ALPHA = 0.05
POWER = 0.8
_MOST_VOTES = 100_000


def anytime_chance(wins: int, losses: int) -> float:
    """A p-value of a fair coin that holds at any time: 1 / evidence, at most 1.

    The evidence is the likelihood over all rates of winning alike (a uniform prior), divided by
    that of a half: 2^n · B(wins + 1, losses + 1).
    """
    return min(math.exp(-_evidence(wins, losses, 0.5)), 1.0)


def anytime_interval(wins: int, losses: int, alpha: float = ALPHA) -> tuple[float, float] | None:
    """The win rates that the evidence does not speak against: 95 % hold the truth at every look.

    It leaves one half out exactly where `anytime_chance` is at most `alpha`.

    Returns:
        (low, high), or None where nothing was decided.
    """
    if not wins + losses:
        return None
    rate = wins / (wins + losses)
    low = 0.0 if not wins else _edge(wins, losses, 0.0, rate, alpha)
    high = 1.0 if not losses else _edge(wins, losses, 1.0, rate, alpha)
    return low, high


def more_votes(wins: int, losses: int, alpha: float = ALPHA) -> int | None:
    """How many more decided votes would likely decide, if they go on as they went.

    Returns:
        The fewest after which they do four times in five; 0 where they have decided already; None
        where the share is so near to one half that more votes cannot be promised to help (100,000
        would not do), or nobody has voted.
    """
    most, votes = max(wins, losses), wins + losses
    if anytime_chance(wins, losses) <= alpha:
        return 0
    if 2 * most == votes:
        return None
    low, high = 0, 1
    while _power(most, votes, high, alpha) < POWER:
        low, high = high, high * 2
        if votes + high > _MOST_VOTES:
            return None
    # The power has teeth: it falls a little wherever one more loss is not yet allowed for.
    while high - low > 64:
        middle = (low + high) // 2
        if _power(most, votes, middle, alpha) < POWER:
            low = middle
        else:
            high = middle
    return next(n for n in range(low + 1, high + 1) if _power(most, votes, n, alpha) >= POWER)


def _evidence(wins: int, losses: int, rate: float) -> float:
    """The logarithm of the evidence against this rate."""
    ways = math.lgamma(wins + 1) + math.lgamma(losses + 1) - math.lgamma(wins + losses + 2)
    return ways - wins * math.log(rate) - losses * math.log1p(-rate)


def _edge(wins: int, losses: int, outside: float, inside: float, alpha: float) -> float:
    """Where between the two the evidence becomes enough."""
    for _ in range(60):
        middle = (outside + inside) / 2
        if _evidence(wins, losses, middle) >= -math.log(alpha):
            outside = middle
        else:
            inside = middle
    return outside


def _power(most: int, votes: int, more: int, alpha: float) -> float:
    """The chance that whoever has `most` of the votes is told to be better after `more`."""
    total = votes + more
    low, high = total // 2, total + 1
    while high - low > 1:
        middle = (low + high) // 2
        if anytime_chance(middle, total - middle) <= alpha:
            high = middle
        else:
            low = middle
    return at_least(high - most, more, most / votes)
