"""Changes of many rows: proposed by one scan, looked at by a person, and made by another.

Knows find and replace, and repairs of findings. Of a proposal only its row is told, so that a
million of them cost little: what a row becomes is found again for those that are looked at, and
where all of them are made, in one step of undo.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.data.background.client import Making, Planning, Repairs, Report
from engine.data.journal.changes import Delete, Replace
from store.errors import Conflict

if TYPE_CHECKING:
    from engine.data.dataset import Dataset
    from store.catalogue import Catalogue

TELL_SECONDS = 0.1
Wanted = Iterator[Delete | Replace]
Skipped = list[tuple[int, str]]
"""Rows that stay as they are, and why."""


def answer_planning(_cat: Catalogue, data: Dataset, asked: Planning) -> Iterator[Report]:
    """Find and replace."""
    from engine.data.find import Pattern
    from engine.data.find.replace import Skipped as Left
    from engine.data.find.replace import plan

    left: list[Left] = []
    rows = None if asked.rows is None else set(array("Q", asked.rows))
    pattern = Pattern.compile(asked.text, asked.regex, asked.case)
    planned = plan(data, pattern, asked.by, rows, asked.fields, skipped=left)
    yield from _answer(data, (one.change for one in planned), asked.make)
    yield _skipped([(one.row, one.why) for one in left])


def answer_repairs(cat: Catalogue, data: Dataset, asked: Repairs) -> Iterator[Report]:
    """The bulk repair of a kind of finding."""
    from engine.data.findings import fix, recorded
    from engine.data.findings.checking import renderer_of

    renderer = renderer_of(cat, asked.model)[0] if fix.needs_model(asked.kind) else None
    left: Skipped = []

    def wanted() -> Wanted:
        for planned in fix.plan(data, recorded.shown(cat, data, kind=asked.kind), renderer):
            if planned.change is not None:
                yield planned.change
            else:
                left.append((planned.row, planned.why_not))

    data.grow()
    yield from _answer(data, wanted(), asked.make)
    yield _skipped(left)


def _answer(data: Dataset, wanted: Wanted, make: Making | None) -> Iterator[Report]:
    return _told(data, wanted) if make is None else _made(data, wanted, make)


def _told(data: Dataset, wanted: Wanted) -> Iterator[Report]:
    found: list[int] = []
    due = 0.0
    for change in wanted:
        found.append(-change.row if isinstance(change, Delete) else change.row)
        if time.monotonic() >= due:
            yield Report(kind="plan", body=found, progress=_share(data, change.row))
            found, due = [], time.monotonic() + TELL_SECONDS
    yield Report(kind="plan", body=found, progress=1.0)


def _made(data: Dataset, wanted: Wanted, make: Making) -> Iterator[Report]:
    if data.moment != make.moment:
        raise Conflict(
            f"{data.title}: rows were edited since these changes were shown",
            "nothing was changed; look at the changes again",
        )
    but = set(array("Q", make.but))
    changes = data.batch()
    due = 0.0
    for change in wanted:
        if change.row not in but:
            changes.append(change)
        if time.monotonic() >= due:
            yield Report(kind="progress", progress=0.9 * _share(data, change.row))
            due = time.monotonic() + TELL_SECONDS
    done = data.change(changes, make.label) if changes else 0
    yield Report(kind="made", body=done, progress=1.0)


def _skipped(left: Skipped) -> Report:
    first = f"row {left[0][0]:,}: {left[0][1]}" if left else ""
    return Report(kind="skipped", body=(len(left), first), progress=1.0)


def _share(data: Dataset, row: int) -> float:
    return row / max(row, data.count)
