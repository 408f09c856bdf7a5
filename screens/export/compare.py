"""Every measured type of one model side by side: a plot, a table, and which one to take.

Knows words and columns. The rows and the advice are the engine's.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from textual.content import Content

from engine.export.advice import Advice, Row
from screens.export.ledger import divergence
from screens.export.picture import Point, picture
from screens.safe import visible
from screens.widgets import words

_QUIET = "$foreground 60%"


def compare_words(
    rows: Sequence[Row], advice: Advice, merge: str, here: int | None, width: int, height: int
) -> Content:
    """Advice, plot and table in so many cells and lines.

    Args:
        rows: at least two.
        merge: which weights to take, where both were measured.
        here: the export under the cursor.
    """
    sign = ("★ ", "$accent bold") if advice.row else ("! ", "$text-warning")
    first, *more = (part for told in (advice.sentence, merge)
                    for part in textwrap.wrap(visible(told), width - 3))  # fmt: skip
    said = [Content.assemble(sign, first), *(Content(f"  {part}") for part in more)]
    table = [_heading(), *(_line(row, row is advice.row, row.export_id == here) for row in rows)]
    room = min(max(height - len(table) - len(said) - 2, 8), 18)
    points = [
        Point(_label(row), row.bytes, row.kl, row.verdict, row is advice.row, row.export_id == here)
        for row in rows
    ]
    if any(row.original for row in rows):
        table.append(Content.styled("  ° on the base's own weights", _QUIET))
    return Content("\n").join([*said, picture(points, width, room), Content(""), *table])


def _label(row: Row) -> str:
    return row.type + ("°" if row.original else "")


def _heading() -> Content:
    return Content.styled(
        f"  {'type':<10}{'size':>9}{'KL':>9}{'top-1':>8}{'lost':>8}{'loss':>9}  proof", _QUIET
    )


def _line(row: Row, best: bool, here: bool) -> Content:
    lost = "–" if row.share_lost is None else f"{row.share_lost:.1%}"
    loss = "–" if row.change is None else f"{row.change:+.4f}"
    sign, colour = words.STATES[row.verdict]
    return Content.assemble(
        ("★ " if best else "  ", "$accent"),
        (f"{visible(_label(row)):<10}", "$accent bold" if here else "bold"),
        f"{words.size(row.bytes):>9}{divergence(row.kl):>9}{row.top1:>8.1%}{lost:>8}{loss:>9}  ",
        (sign, colour),
    )
