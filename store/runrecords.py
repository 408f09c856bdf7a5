"""What a run database tells of its run besides metrics: samples, checkpoints, events, state.

Knows the shape of each record. Does not know SQLite or who wrote them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from store.metrics import Trace


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model answered to a probe at a step."""

    id: int
    step: int
    prompt: str
    model: str
    text: str
    tokens: int
    stop: str
    created: float


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer to a prompt of a check suite, and what it came to: pass, fail, skipped or error.

    Attributes:
        place: of the prompt in its suite, from 0.
    """

    place: int
    verdict: str
    text: str
    tokens: int
    stop: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint; `path` is absolute, also after the run's folder was moved.

    A `pinned` one is never deleted (see `store.pins`).
    """

    step: int
    path: str
    bytes: int
    manifest_sha256: str
    eval_loss: float | None
    created: float
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `level` is info, warn or error."""

    id: int
    created: float
    level: str
    kind: str
    text: str
    step: int | None


@dataclass(frozen=True, slots=True)
class Fit:
    """Memory and time, as expected or measured.

    Attributes:
        kind: `estimate` (before anything was loaded), `probe` (one forward and backward of the
            longest batch), or `measured` (the run itself, when it ended or was left).
        seconds: of one optimizer step; None where it was not measured.
        detail: the peak by parts, the batch's shape and the like.
    """

    created: float
    kind: str
    step: int
    peak_bytes: int
    seconds: float | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunState:
    """What the training process said of itself last. `heartbeat` is when."""

    status: str
    step: int
    total_steps: int | None
    reason: str | None
    pid: int
    process_started: float
    heartbeat: float
    started: float | None
    finished: float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """Ids of the newest sample and event that are known."""

    sample: int = 0
    event: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """One look at a run, or what was written since one.

    Attributes:
        traces: metrics read whole.
        points: metrics' new points in order of steps.
        checkpoints: all there are.
    """

    traces: dict[str, Trace]
    points: dict[str, list[tuple[int, float | None]]]
    state: RunState | None
    samples: list[Sample]
    events: list[Event]
    checkpoints: list[Checkpoint]
