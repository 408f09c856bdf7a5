"""Everything that is known of a run, read once.

Knows the catalogue, the run's folder and its database. Does not judge and does not write: what
cannot be read any more is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.data.split.frozen import Meta, read_meta
from engine.diagnosis import Verdict
from engine.diagnosis.reading import diagnosis
from engine.records import origin
from engine.records.origin import Origin
from engine.train import spec as specs
from engine.train.choosing import Choice
from engine.train.spec import Spec
from engine.train.status import reader, refresh
from store import snapshots
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.metrics import Series
from store.rundb import Checkpoint, Event, Fit, Sample
from store.runs import Run
from store.snapshots import Snapshot

POINTS = 600


@dataclass(frozen=True, slots=True)
class Record:
    """A run as it stood at one moment."""

    run: Run
    spec: Spec | None
    origin: Origin | None
    snapshot: Snapshot | None
    meta: Meta | None
    series: dict[str, Series]
    checkpoints: list[Checkpoint]
    samples: list[Sample]
    events: list[Event]
    fits: list[Fit]
    verdicts: list[Verdict]

    @property
    def choices(self) -> dict[str, Choice]:
        """Settings that were chosen or asked for, by name."""
        return {choice.key: choice for choice in (self.spec.choices if self.spec else ())}

    @property
    def recipe(self) -> dict[str, Any]:
        return self.run.recipe


def gather(cat: Catalogue, run_id: int) -> Record:
    """Read a run.

    Raises:
        NotFound: no such run.
    """
    run = refresh(cat, run_id)
    run_dir = cat.workspace.run_dir(run_id)
    try:
        spec = specs.read(run_dir)
    except WorkbenchError:
        spec = None
    snapshot, meta = _rows(cat, run)
    with reader(cat, run_id) as run_db:
        return Record(
            run=run,
            spec=spec,
            origin=origin.read(run_dir),
            snapshot=snapshot,
            meta=meta,
            series={name: run_db.series(name, points=POINTS) for name in run_db.names()},
            checkpoints=run_db.checkpoints(),
            samples=run_db.samples(),
            events=run_db.events(),
            fits=run_db.fits(),
            verdicts=diagnosis(cat, run),
        )


def _rows(cat: Catalogue, run: Run) -> tuple[Snapshot | None, Meta | None]:
    try:
        taken = snapshots.get(cat, run.snapshot) if run.snapshot else None
    except WorkbenchError:
        return None, None
    try:
        return taken, read_meta(taken) if taken else None
    except WorkbenchError:
        return taken, None
