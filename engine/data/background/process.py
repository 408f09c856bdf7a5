"""The process that looks through all rows for somebody else: `python -m` this module.

Knows the kinds of requests and who answers each. Does not know screens, torch or transformers: it
is up in a moment. It reads one task from its standard input and writes what it finds to its
standard output, in frames (see `events.pack`). When its input closes, whoever asked is gone, and
it goes with all that it started.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Union

import msgspec

from engine.data.background import client as background
from engine.data.background.client import (
    Filter,
    Frequency,
    Order,
    Planning,
    Repairs,
    Request,
    Search,
)
from engine.data.background.events import HEAD, AnyEvent, Done, Failed, Report, pack
from engine.data.background.proposing import answer_planning, answer_repairs
from engine.data.findings.checking import Duplicates, Preflight, answer_duplicates, answer_preflight
from engine.data.split.dividing import Divide, Trainers, answer_divide, answer_trainers
from store.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.data.dataset import Dataset
    from store.catalogue import Catalogue

Handler = Callable[["Catalogue", "Dataset", Any], Iterator[AnyEvent]]
WATCH_SECONDS = 1.0


def _search(_cat: Catalogue, data: Dataset, asked: Search) -> Iterator[AnyEvent]:
    from engine.data.find import Pattern, search

    yield from search(data, Pattern.compile(asked.text, asked.regex, asked.case), after=asked.after)


def _filter(cat: Catalogue, data: Dataset, asked: Filter) -> Iterator[AnyEvent]:
    from engine.data.filter import Context, filter_rows, parse

    wanted = parse(asked.text)
    context = Context.of(cat, data, wanted.needs, asked.model)
    yield from filter_rows(data, wanted, context)
    if context.stale:
        yield Report(kind="stale", body=context.stale, progress=1.0)


def _frequency(cat: Catalogue, data: Dataset, asked: Frequency) -> Iterator[AnyEvent]:
    from engine.data.filter import Context, field
    from engine.data.find.frequency import frequency

    counted = field(asked.field)
    context = Context.of(cat, data, counted.needs, asked.model)
    yield from frequency(data, counted, asked.limit, context)


def _order(cat: Catalogue, data: Dataset, asked: Order) -> Iterator[AnyEvent]:
    from engine.data.filter import Context, field
    from engine.data.find.order import order

    key = field(asked.key)
    context = Context.of(cat, data, key.needs, asked.model)
    yield from order(data, key, asked.reverse, context)


HANDLERS: dict[type[Request], Handler] = {
    Search: _search,
    Filter: _filter,
    Frequency: _frequency,
    Order: _order,
    Planning: answer_planning,
    Repairs: answer_repairs,
    Preflight: answer_preflight,
    Duplicates: answer_duplicates,
    Trainers: answer_trainers,
    Divide: answer_divide,
}
"""Who answers which request. A new kind of scan is a request (a light record, tagged) and a
generator of events here; it yields what it finds, and `Done` is added."""


def main() -> None:
    """Answer the one task that comes in, and end."""
    # What every scan needs, before the task: a process that waits for one is ready then.
    import engine.data.dataset
    import engine.data.find  # noqa: F401

    task = _task()
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    out = sys.stdout.buffer
    try:
        for event in _answers(task):
            out.write(pack(event))
            out.flush()
    except BrokenPipeError:
        # Nobody listens any more.
        _leave()


def _answers(task: background.Task) -> Iterator[AnyEvent]:
    from pathlib import Path

    from engine.data.dataset import open_dataset
    from store.catalogue import Catalogue
    from store.workspace import Workspace

    try:
        with (
            Catalogue.open(Workspace(Path(task.workspace))) as cat,
            open_dataset(cat, task.where) as data,
        ):
            yield from HANDLERS[type(task.request)](cat, data, task.request)
            yield Done(moment=data.moment, rows=data.count)
    except WorkbenchError as error:
        yield Failed.of(error)


def _task() -> background.Task:
    source = sys.stdin.buffer
    size = int.from_bytes(source.read(HEAD), "little")
    body = source.read(size)
    if not size or len(body) < size:
        _leave()
    kinds: Any = Union.__getitem__(tuple(HANDLERS))
    form = msgspec.defstruct(
        "Task", [("workspace", str), ("where", str), ("request", kinds)], frozen=True
    )
    found: Any = msgspec.msgpack.decode(body, type=form)
    return background.Task(found.workspace, found.where, found.request)


def _watch(parent: int) -> None:
    """Go when whoever asked goes, killed or not."""
    while True:
        ready, _, _ = select.select([0], [], [], WATCH_SECONDS)
        if (ready and not os.read(0, 1 << 16)) or os.getppid() != parent:
            _leave()


def _leave() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
