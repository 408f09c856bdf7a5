"""Check suites through time: one row a check, one column an evaluation.

Knows how such a table is cut to a width. Does not run checks: what was measured at a checkpoint is
in the run's metrics as `suite/NAME/CHECK`, and of its sample answers as `probe/...`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.content import Content

from screens.safe import visible
from screens.widgets.sparkline import sparkline
from store.rundb import Series

_COLUMN, _TREND = 8, 12
_LABEL = 26
"""Cells of the names where it is narrow; at most a third of the width elsewhere."""
_NAMES = {
    "probe/same_opening": "answers that open alike",
    "probe/unended": "answers that never end",
}


def suite_words(
    suites: Mapping[str, Series], width: int, at: float | None, best: int | None
) -> Content:
    """The table in `width` cells, the column at the crosshair in the accent, the best starred."""
    if not suites:
        said = "What check suites find at every evaluation is listed here: set `suites` in the form"
        return Content.assemble((said, "$foreground 60%"), ("  n", "$accent bold"), " new run")
    steps = sorted({step for series in suites.values() for step in series.steps})
    label = _label_width(suites, width)
    room = max((width - label - _TREND - 1) // _COLUMN, 1)
    shown = _around(steps, room, at)
    current = max((step for step in steps if at is None or step <= at), default=None)
    head = [Content(" " * label)]
    for step in shown:
        word = f"@{step:,}" + ("★" if step == best else "")
        head.append(Content.styled(word.rjust(_COLUMN), _tone(step == current)))
    lines = [Content("").join(head)]
    group = ""
    for name in sorted(suites):
        family = name.removeprefix("suite/").rpartition("/")[0]
        if name.startswith("suite/") and family != group:
            group = family
            lines.append(Content.styled(visible(family), "bold"))
        lines.append(_row(visible(_name(name)), label, suites[name], shown, current))
    return Content("\n").join(lines)


def _name(metric: str) -> str:
    check = metric.rpartition("/")[2]
    return _NAMES.get(metric, f"  {check}" if metric.startswith("suite/") else metric)


def _label_width(suites: Mapping[str, Series], width: int) -> int:
    longest = max(len(visible(_name(name))) for name in suites) + 1
    return max(min(longest, width // 3), _LABEL)


def _tone(current: bool) -> str:
    return "$accent bold" if current else "$foreground 60%"


def _around(steps: Sequence[int], room: int, at: float | None) -> list[int]:
    """As many evaluations as there is room for, the one at the crosshair among them."""
    last = len([step for step in steps if at is None or step <= at])
    end = min(max(last + room // 2, room), len(steps)) if at is not None else len(steps)
    return list(steps[max(end - room, 0) : end])


def _row(
    name: str, label: int, series: Series, shown: Sequence[int], current: int | None
) -> Content:
    values = dict(zip(series.steps, series.means, strict=True))
    shares = all(value is None or 0 <= value <= 1 for value in series.means)
    fitted = name if len(name) < label else f"{name[: label - 2]}…"
    cells = [Content.styled(fitted.ljust(label), "$foreground 60%")]
    for step in shown:
        value = values.get(step)
        word = "–" if value is None else f"{value:.0%}" if shares else f"{value:.3g}"
        cells.append(Content.styled(word.rjust(_COLUMN), "bold" if step == current else ""))
    trend = sparkline(series.means, _TREND)
    return Content("").join([*cells, Content.styled(f" {trend}", "$accent 80%")])
