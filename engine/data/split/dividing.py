"""Splits and trainers as they are asked for in a scan of its own (see `background`).

Knows the requests and who answers them. Does not know how rows are divided or judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from engine.data.background.client import Report, Request

if TYPE_CHECKING:
    from engine.data.dataset import Dataset
    from store.catalogue import Catalogue


class Trainers(Request, frozen=True, tag=True):
    """What other trainers would do, kept among the findings.

    Answers with Reports: `progress`, then `trainers`, whose body is a list of summaries (see
    `engine.data.trainers.Summary`) as plain values.
    """


class Divide(Request, frozen=True, tag=True):
    """Record a split; what is left out stays as it is recorded (see `parts.wanted`).

    Answers with Reports: `progress`, then `split`, whose body has counts, warnings and the rule.
    """

    train: float | None = None
    eval: float | None = None
    test: float | None = None
    seed: int | None = None
    group_by: tuple[str, ...] | None = None


def answer_trainers(cat: Catalogue, data: Dataset, _: Trainers) -> Iterator[Report]:
    """Ask all trainers about every row."""
    from engine.data.trainers.record import run

    work = run(cat, data)
    while True:
        try:
            yield Report(kind="progress", progress=next(work))
        except StopIteration as end:
            yield Report(kind="trainers", body=msgspec.to_builtins(end.value), progress=1.0)
            return


def answer_divide(cat: Catalogue, data: Dataset, asked: Divide) -> Iterator[Report]:
    """Look at every row and record where they go."""
    from engine.data.split import parts

    shares = (asked.train, asked.eval, asked.test)
    rule = parts.wanted(parts.recorded(cat, data), shares, asked.seed, asked.group_by)
    work = parts.recording(cat, data, rule)
    while True:
        try:
            yield Report(kind="progress", progress=next(work))
        except StopIteration as end:
            body: dict[str, Any] = msgspec.to_builtins(end.value)
            del body["ties"]
            yield Report(kind="split", body=body, progress=1.0)
            return
