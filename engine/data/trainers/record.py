"""What trainers would do with a file, kept with the dataset among its other findings.

Knows the survey and the table of findings. Does not know screens or the rules. The kind of a
finding is the trainer's name, its group the rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import TYPE_CHECKING

import msgspec

from engine.data.trainers import TRAINERS, FileVerdict, Summary, Verdict, survey
from engine.data.trainers.base import Outcome
from store.catalogue import Catalogue
from store.findings import Level, New, Recording

if TYPE_CHECKING:
    from engine.data.dataset import Dataset

SOURCE = "trainers"
MOST = 10_000
"""Rows of one trainer and rule that are kept one by one; the summary counts all."""
_LEVELS: dict[Outcome, Level] = {
    "keep": "info",
    "altered": "info",
    "drop": "warn",
    "error": "warn",
}


def run(cat: Catalogue, data: Dataset) -> Generator[float, None, list[Summary]]:
    """Ask all trainers about a dataset and keep what they say, in place of what they said before.

    Yields:
        How far it is, 0 to 1. Closing the generator before its end keeps the last findings.
    Returns:
        A summary for each trainer.
    """
    kept: Counter[tuple[str, str]] = Counter()
    pending: list[New] = []

    def tell(trainer: str, verdict: Verdict) -> None:
        kept[trainer, verdict.rule] += 1
        if kept[trainer, verdict.rule] <= MOST:
            pending.append(_new(trainer, verdict))

    with Recording(cat, data.dataset_id, SOURCE, "", data.moment) as out:
        work = survey(data, tell=tell)
        while True:
            try:
                share = next(work)
            except StopIteration as end:
                summaries: list[Summary] = end.value
                break
            out.add(pending)
            pending.clear()
            yield share
        for summary in summaries:
            pending += [_new(summary.trainer, one) for one in summary.file if one.line]
            for reason in summary.reasons:
                if reason.count > MOST:
                    more = f"and {reason.count - MOST:,} more rows: {reason.reason}"
                    last = Verdict(reason.lines[-1], reason.outcome, reason.rule, more, "")
                    pending.append(_new(summary.trainer, last))
        out.add(pending)
        out.summary = {one.trainer: _brief(one) for one in summaries}
    return summaries


def titles() -> dict[str, str]:
    """Kinds of findings that come from here, in words."""
    return {name: f"{one.title} would not take as they are" for name, one in TRAINERS.items()}


def _new(trainer: str, said: Verdict | FileVerdict) -> New:
    remedy = f" → {said.remedy}" if said.remedy else ""
    detail = f"{said.outcome}: {said.reason}{remedy}"
    return New(said.line, trainer, _LEVELS[said.outcome], detail, said.rule)


def _brief(summary: Summary) -> dict[str, object]:
    """A summary without the lines, which are findings."""
    plain = msgspec.to_builtins(summary)
    for reason in plain["reasons"]:
        del reason["lines"]
    return dict(plain)
