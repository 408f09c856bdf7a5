"""How numbers are said: losses, rates, shares, lists of lines.

Knows formatting. Does not know rules.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.diagnosis.facts import USUAL_RATES
from engine.diagnosis.view import View, choices

_LISTED = 12


def loss(value: float) -> str:
    """Two digits, more for a small one."""
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def rate(value: float) -> str:
    """`1e-4`, not `0.0001` or `1e-04`."""
    digits, _, power = f"{value:.2g}".partition("e")
    if not power:
        digits, power = f"{value:.1e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def percent(share: float) -> str:
    """A share with its sign: `-23 %`."""
    return f"{share * 100:+.0f} %"


def risen(now: float, before: float) -> str:
    """How much a loss changed, as a share where there is one: `+31 %`, `+0.4`."""
    return percent(now / before - 1) if before > 0 else f"{now - before:+.2g}"


def went(view: View) -> str:
    """What the training loss did, without what it means."""
    start, (now, error) = view.start, view.now
    return f"training loss {loss(start)} → {loss(now)} ± {loss(error)} ({risen(now, start)})"


def fall(view: View) -> str:
    """What the training loss did, and what that means."""
    start, now = view.start, view.now[0]
    if not view.facts.language:
        return went(view)
    return (
        f"{went(view)}: the model hesitated as among {among(start)} equally likely tokens, now as "
        f"among {among(now)}"
    )


def among(value: float) -> str:
    """The perplexity of a loss, in two or three digits: `9.6`, `19`, `8,300`."""
    return count(choices(value))


def count(value: float) -> str:
    """A number in two digits, never in powers of ten: `9.6`, `100`, `8,300`."""
    number = float(f"{value:.2g}")
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def usual() -> str:
    """The usual rates."""
    return f"{rate(USUAL_RATES[0])}–{rate(USUAL_RATES[1])}"


def under_usual(value: float) -> str:
    """How many times a rate is under the usual ones: `20–60×`."""
    low, high = (bound / value for bound in USUAL_RATES)
    return f"{count(low)}–{count(high)}×"


def lines(numbers: Sequence[int]) -> str:
    """Line numbers of rows, the first dozen."""
    shown = ", ".join(f"{number:,}" for number in numbers[:_LISTED])
    more = f" and {len(numbers) - _LISTED:,} more" if len(numbers) > _LISTED else ""
    return f"line{'' if len(numbers) == 1 else 's'} {shown}{more}"
