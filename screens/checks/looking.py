"""What the Checks room knows of a run: read in a worker, shown by the room.

Knows runs, suites and what was answered. Asks nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

import assets
from store import checkjobs, runs
from store.runs import Run

if TYPE_CHECKING:
    from engine.checks.people import Judged
    from engine.checks.series import Recommendation, Series
    from engine.checks.suite import Suite
    from engine.train.recipe import Recipe
    from store.catalogue import Catalogue
    from store.checkjobs import CheckJob

_JOBS = 20
"""How many jobs back a run's suites are looked for."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a run.

    Attributes:
        named: what the suites were chosen by, a name or a file each.
        series: the suites of which every answer is known; None where there is none.
        missing: answers that nobody gave yet.
        judged: by the name of a suite, its rubrics' judges beside people.
        job: what asks for them now.
    """

    run: Run
    suites: tuple[Suite, ...]
    named: tuple[str, ...]
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
        named: the suites to look at; where none is named, the run's own, and those that were asked
            of it last.
    """
    from engine.checks import jobs, people, series

    run = _chosen(cat, run_id)
    if run is None:
        return None
    models = series.resolved(cat, run.id)
    wanted = tuple(named) or _before(cat, run, models)
    suites, retention = suites_of(cat, run, wanted)
    found, missing = series.look(cat, run.id, suites)
    advice = None if missing else series.recommend(found, retention)
    if advice is not None and run.status == "running":
        # It is corrected for the checkpoints that are there, not for those that are to come.
        reason = (
            f"{advice.reason}. It still trains: each look gives chance a turn, decide at its end"
        )
        advice = replace(advice, reason=reason)
    judged = {
        one.suite.name: people.judges(cat, one.suite, (one.base, *one.at)) for one in found.suites
    }
    job = jobs.find(cat, suites, models)
    shown = found if found.suites else None
    return Seen(run, tuple(suites), wanted, shown, advice, missing, judged, job)


def suites_of(cat: Catalogue, run: Run, named: Sequence[str]) -> tuple[list[Suite], str | None]:
    """The suites of these names or files, and the name of the one about retention.

    The run's own are as it keeps them.
    """
    from engine.checks import suite as files
    from engine.train import suites

    own = suites.load(_recipe(run), cat.workspace.run_dir(run.id))
    label = _retention(run)
    found = [own[name] if name in own else files.load(name, cat) for name in named]
    about = [
        suite.name
        for name, suite in zip(named, found, strict=True)
        if label in (name, suite.name, Path(name).stem)
    ]
    return found, about[0] if about else None


def _before(cat: Catalogue, run: Run, models: Sequence[str]) -> tuple[str, ...]:
    """The run's own suites, else the one about its base, and those that were asked of it last."""
    from engine.checks.suite import names
    from engine.train.recipe import suite_names

    own = tuple(suite_names(_recipe(run))) or (_retention(run),)
    for job in checkjobs.newest(cat, _JOBS):
        if {*models} <= {*job.models}:
            shipped = {str(assets.path("suites", f"{name}.toml")): name for name in names()}
            kept = str(cat.workspace.run_dir(run.id).resolve())
            asked = [
                shipped.get(path, path)
                for path, tags in job.suites
                if not tags and not path.startswith(kept) and Path(path).is_file()
            ]
            return tuple(dict.fromkeys((*own, *asked)))
    return own


def _recipe(run: Run) -> Recipe:
    from engine.train.recipe import from_dict

    return from_dict(run.recipe)


def _retention(run: Run) -> str:
    """What the suite is called that asks what the base could do already."""
    from engine.train.recipe import suite_label

    general = "retention" if run.model == "starter" else "general"
    return suite_label(_recipe(run).retention_suite or general)


def _chosen(cat: Catalogue, run_id: int | None) -> Run | None:
    """The run that was named, or the newest that has a checkpoint."""
    from engine.train import checkpoints

    if run_id is not None:
        return runs.get(cat, run_id)
    every = runs.all(cat)
    return next((r for r in every if checkpoints.complete(cat.workspace.run_dir(r.id))), None)
