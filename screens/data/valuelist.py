"""The values of a field by how often they are there, while they are counted.

Knows a table of counts. Answers the filter that lists the rows of one value.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.content import Content

from screens.data.tables import TableModal, fitted
from screens.safe import line
from screens.widgets import words
from screens.widgets.linelist import Cells

if TYPE_CHECKING:
    from engine.data.background.client import Table

BAR = 16


class ValueList(TableModal[str]):
    """Answers an expression."""

    KEYS = "⏎ list its rows  esc close"

    def __init__(self, field: str) -> None:
        super().__init__(Content(" values of ") + line(field, "bold") + Content(" "))
        self.field = field
        self.counts: Table | None = None
        self._told: Callable[[], None] | None = None
        """What was told last, before the window was there."""

    def on_mount(self) -> None:
        super().on_mount()
        self.summary_is(Content.styled("counting …", "$text-muted"))
        if self.counts is not None:
            self.take(self.counts)
        if self._told is not None:
            self._told()

    def take(self, counts: Table) -> None:
        """Show what is counted so far."""
        self.counts = counts
        if self.ready:
            self.table.show(len(counts.values), self._cells)
            self._tell(complete=False, progress=counts.progress)

    def finish(self) -> None:
        """All rows are counted."""
        self._told = self.finish
        if self.ready:
            self._tell(complete=True, progress=1.0)

    def fail(self, message: str) -> None:
        """It cannot be counted, and why."""
        self._told = lambda: self.fail(message)
        if self.ready:
            self.summary_is(Content.styled("✗ ", "$text-error") + line(message))

    def _tell(self, *, complete: bool, progress: float) -> None:
        counts = self.counts
        if counts is None or not counts.values:
            self.summary_is(Content("No row has this field." if complete else "counting …"))
            return
        least = "" if counts.exact else "at least "
        values = words.plural(counts.distinct, "value")
        said = f"{least}{values} in {words.plural(counts.rows, 'row')}"
        if not complete:
            said += f" · {progress:.0%}"
        if not counts.exact:
            said += f" · counts may be too small by {counts.lost:,}"
        if counts.distinct > len(counts.values):
            said += f" · the {len(counts.values):,} most frequent"
        self.summary_is(Content(said))

    def _cells(self, index: int, width: int) -> Cells:
        assert self.counts is not None
        value = self.counts.values[index]
        most = self.counts.values[0].count
        bar = max(1, round(value.count / most * BAR)) if most else 0
        shown = value.value if value.value.strip() else json.dumps(value.value)
        lead = "▸" if index == self.table.cursor else " "
        return (
            (f"{lead} ", "accent"),
            (f"{value.count:>11,}  {value.share:>6.1%}  ", "muted"),
            ("━" * bar + " " * (BAR - bar) + "  ", "accent"),
            (fitted(shown, width - 26 - BAR), "plain"),
        )

    def chosen(self, index: int) -> None:
        assert self.counts is not None
        value = self.counts.values[index].value
        self.dismiss(f"{self.field} = {literal(value)}")


def literal(value: str) -> str:
    """A value as an expression has it: numbers and flags as they are, the rest in quotes."""
    try:
        if isinstance(json.loads(value), int | float | bool | None):
            return value
    except (ValueError, RecursionError):
        pass
    return json.dumps(value, ensure_ascii=False)
