"""Checkpoints × checks as a heat map: one line a group of a suite, one column a model.

What a model judged stands apart from what is counted, under who judged it and how far people agree
with that. Knows how a table is laid into a width. Does not know how answers were judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message
from textual.reactive import reactive

from engine.checks.comparing import Said
from engine.checks.judging import Count
from engine.checks.series import Series, SuiteSeries
from screens.safe import visible
from screens.widgets.linelist import Cells, LineList
from screens.widgets.sparkline import BLOCKS

if TYPE_CHECKING:
    from engine.checks.people import Judged

_NAME, _COLUMN, _TREND = 26, 8, 10
_SHADES = (" ", "░", "▒", "▓", "█")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a head (no counts), a suite's total, or one of its groups.

    Attributes:
        group: which group of the suite; None for a head and the total.
        judge: the model whose opinion it is about.
    """

    suite: SuiteSeries
    words: str
    group: int | None = None
    counts: tuple[Count, ...] = ()
    judge: str = ""


def lines_of(series: Series, judged: Mapping[str, Sequence[Judged]]) -> tuple[Line, ...]:
    """Every suite with a line a group, one for all that is counted, then what was judged."""
    found: list[Line] = []
    for suite in series.suites:
        results = (suite.base, *suite.at)
        found.append(Line(suite, _head(suite)))
        groups = suite.suite.groups
        judges = dict.fromkeys(group.judge for group in groups)
        for judge in sorted(judges, key=bool):
            own = [place for place, group in enumerate(groups) if group.judge == judge]
            if judge:
                said = [one for one in judged.get(suite.suite.name, ()) if one.judge == judge]
                words = " · ".join(dict.fromkeys(one.words() for one in said))
                found.append(Line(suite, f"  {words}", judge=judge))
            for place in own:
                counts = tuple(result.groups[place] for result in results)
                name = groups[place].name.removesuffix(f", judged by {judge}")
                found.append(Line(suite, name, place, counts, judge))
            if not judge and len(own) > 1:
                found.append(Line(suite, "all", None, tuple(result.total for result in results)))
    return tuple(found)


def _head(suite: SuiteSeries) -> str:
    words = f"{suite.suite.name} · {suite.suite.size:,} prompts"
    drops = [p.total.detectable_drop for p in suite.pairs if p.total.detectable_drop is not None]
    return words + (f" · smallest visible drop {100 * max(drops):.0f} points" if drops else "")


class Matrix(LineList):
    """The table, with a cursor in two directions; column 0 is the base."""

    column: reactive[int] = reactive(0)

    class Turned(Message):
        """The cursor is in another column."""

    def __init__(self) -> None:
        super().__init__(widget_id="matrix")
        self.lines: tuple[Line, ...] = ()
        self.steps: tuple[int, ...] = ()
        self.best: int | None = None
        self.promoted: int | None = None

    def show(
        self,
        series: Series | None,
        best: int | None,
        promoted: int | None,
        judged: Mapping[str, Sequence[Judged]],
    ) -> None:
        """Take another table; the cursor stays where it is as far as it can."""
        self.lines = lines_of(series, judged) if series is not None else ()
        self.steps = series.steps if series is not None else ()
        self.best, self.promoted = best, promoted
        self.column = max(0, min(self.column, len(self.steps)))
        self.count = len(self.lines)
        self.forget()

    @property
    def current(self) -> Line | None:
        """The line under the cursor."""
        return self.lines[self.cursor] if self.lines else None

    def watch_column(self) -> None:
        self.forget()
        self.post_message(self.Turned())

    def columns(self, width: int) -> range:
        """Those that there is room for, the cursor's among them; the base always stands first."""
        room = max((width - _NAME - _COLUMN - _TREND - 1) // _COLUMN, 1)
        start = max(0, min(self.column - room // 2 - 1, len(self.steps) - room))
        return range(start + 1, min(start + room, len(self.steps)) + 1)

    def heading(self, width: int) -> list[tuple[str, str]]:
        """The names of the columns: pieces of text with their tone."""
        pieces = [(" " * _NAME, "muted"), ("base".rjust(_COLUMN), self._tone(0))]
        for column in self.columns(width):
            step = self.steps[column - 1]
            mark = "★" if step == self.best else "●" if step == self.promoted else ""
            pieces.append((f"@{step}{mark}".rjust(_COLUMN), self._tone(column)))
        return pieces

    def _tone(self, column: int) -> str:
        return "accent" if column == self.column else "muted"

    def cells(self, index: int, width: int) -> Cells:
        line = self.lines[index]
        if not line.counts:
            return [(visible(line.words)[:width], "muted")]
        name = visible(line.words)
        name = name if len(name) < _NAME - 2 else name[: _NAME - 4] + "…"
        pieces = [(f"  {name}".ljust(_NAME), "plain")]
        for column in (0, *self.columns(width)):
            pieces.append(self._cell(line, column))
        pieces.append((" " + trend([count.rate for count in line.counts]), "accent"))
        return pieces

    def _cell(self, line: Line, column: int) -> tuple[str, str]:
        rate = line.counts[column].rate
        if rate is None:
            return "–".rjust(_COLUMN), "muted"
        said = "cannot tell apart" if column == 0 else _said(line, column - 1)
        sign = {"worse": "✗", "better": "✓"}.get(said, " ")
        shade = _SHADES[min(int(rate * len(_SHADES)), len(_SHADES) - 1)]
        tone = {"worse": "bad", "better": "good"}.get(said, "plain")
        words = f"{shade}{percent(rate)}{sign}".rjust(_COLUMN)
        return words, "accent" if column == self.column and tone == "plain" else tone


def percent(rate: float) -> str:
    """Whole per cent; none and all are said of none and all alone."""
    whole = round(100 * rate)
    return f"{min(max(whole, 1), 99) if 0 < rate < 1 else whole}%"


def trend(rates: Sequence[float | None]) -> str:
    """The rates from the base on, a block each between none and all; only the last fit."""
    top = len(BLOCKS) - 1
    return "".join(" " if r is None else BLOCKS[round(r * top)] for r in rates[-_TREND + 1 :])


def _said(line: Line, place: int) -> Said:
    """Whether a checkpoint's line is better or worse than the base's, beyond chance."""
    if line.group is None:
        return line.suite.pairs[place].total.said
    return line.suite.said(line.group, place)
