"""What the Checks room knows of a run: read in a worker, shown by the room.

Knows runs, suites and what was answered. Asks nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from store import runs
from store.runs import Run

if TYPE_CHECKING:
    from engine.checks.people import Judged
    from engine.checks.series import Recommendation, Series
    from engine.checks.suite import Suite
    from store.catalogue import Catalogue
    from store.checkjobs import CheckJob


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a run.

    Attributes:
        series: the suites of which every answer is known; None where there is none.
        missing: answers that nobody gave yet.
        judged: by the name of a suite, its rubrics' judges beside people.
        job: what asks for them now.
    """

    run: Run
    suites: tuple[Suite, ...]
    series: Series | None
    advice: Recommendation | None
    missing: int
    judged: dict[str, list[Judged]]
    job: CheckJob | None


class Looked(Message):
    """A worker looked."""

    def __init__(self, seen: Seen | None) -> None:
        super().__init__()
        self.seen = seen


def look(cat: Catalogue, run_id: int | None, named: Sequence[str]) -> Seen | None:
    """Everything about a run, or the newest with a checkpoint; None where no run has any.

    Args:
        named: the suites to look at; the run's own where none is named.
    """
    from engine.checks import jobs, people, series

    run = _chosen(cat, run_id)
    if run is None:
        return None
    suites, retention = suites_of(cat, run, named)
    found, missing = series.look(cat, run.id, suites)
    advice = None if missing else series.recommend(found, retention)
    judged = {
        one.suite.name: people.judges(cat, one.suite, (one.base, *one.at)) for one in found.suites
    }
    job = jobs.find(cat, suites, series.resolved(cat, run.id))
    return Seen(run, tuple(suites), found if found.suites else None, advice, missing, judged, job)


def suites_of(cat: Catalogue, run: Run, named: Sequence[str]) -> tuple[list[Suite], str | None]:
    """The suites to ask, and the name of the one about retention.

    The run's own as it keeps them; else the one about what its base could do.
    """
    from engine.checks import suite as files
    from engine.train import suites
    from engine.train.recipe import from_dict, suite_label

    recipe = from_dict(run.recipe)
    own = suites.load(recipe, cat.workspace.run_dir(run.id))
    general = "retention" if run.model == "starter" else "general"
    label = suite_label(recipe.retention_suite or general)
    wanted = list(named) or list(own) or [general]
    found = [own[name] if name in own else files.load(name, cat) for name in wanted]
    about = [suite.name for name, suite in zip(wanted, found, strict=True) if name == label]
    return found, about[0] if about else None


def _chosen(cat: Catalogue, run_id: int | None) -> Run | None:
    """The run that was named, or the newest that has a checkpoint."""
    from engine.train import checkpoints

    if run_id is not None:
        return runs.get(cat, run_id)
    every = runs.all(cat)
    return next((r for r in every if checkpoints.complete(cat.workspace.run_dir(r.id))), None)
