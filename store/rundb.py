"""The run database `runs/<id>/run.db`: metrics, samples, checkpoints, events and state of a run.

Knows its two sides, `RunWriter` for the training process and `RunReader` for everyone else. Does
not know the catalogue: a run's folder can be copied elsewhere and stays readable.
"""

from __future__ import annotations

from store.metrics import Series, Trace
from store.runreader import RunReader
from store.runrecords import Checkpoint, Event, Fit, Judged, News, RunState, Sample, Seen
from store.runwriter import RunWriter

__all__ = [
    "Checkpoint",
    "Event",
    "Fit",
    "Judged",
    "News",
    "RunReader",
    "RunState",
    "RunWriter",
    "Sample",
    "Seen",
    "Series",
    "Trace",
]
