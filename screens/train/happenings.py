"""What happened in a run, as signs below its chart: checkpoints, evaluations, pauses, warnings.

Knows which sign a kind of event has and at which step it belongs. Does not know charts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from screens.widgets.plot import Mark
from store.rundb import Checkpoint, Event, Sample, Series

_KINDS: dict[str, tuple[str, str]] = {
    "started": ("▶", "quiet"),
    "resumed": ("▶", "good"),
    "checkpoint": ("◆", "good"),
    "extended": ("»", "quiet"),
    "forked": ("Y", "quiet"),
    "paused": ("‖", "warn"),
    "stopped": ("■", "warn"),
    "finished": ("✓", "good"),
    "memory": ("½", "warn"),
    "passed": ("✓", "good"),
    "not-finite": ("×", "bad"),
    "failed": ("✗", "bad"),
}
_LEVELS = {"info": ("·", "quiet"), "warn": ("!", "warn"), "error": ("✗", "bad")}
_WITHOUT_PLACE = frozenset({"choice", "row", "rows", "split", "start"})
"""Said before step 1: they are in the list of events, and nowhere on the axis."""
_WEIGHT = {"quiet": 0, "good": 1, "warn": 2, "bad": 3}


def sign_of(event: Event) -> tuple[str, str]:
    """Sign and ink of an event: by its kind where it went well, else by how bad it is."""
    known = _KINDS.get(event.kind)
    return known if known is not None else _LEVELS.get(event.level, _LEVELS["info"])


def happenings(
    events: Sequence[Event],
    checkpoints: Sequence[Checkpoint],
    samples: Sequence[Sample],
    evaluations: Series,
) -> tuple[Mark, ...]:
    """Everything that has a place on the axis, what matters most last."""
    clock = sorted(
        [(event.created, event.step) for event in events if event.step is not None]
        + [(kept.created, kept.step) for kept in checkpoints]
        + [(sample.created, sample.step) for sample in samples]
    )
    marks = list(_evaluated(evaluations))
    for event in events:
        if event.kind in _WITHOUT_PLACE:
            continue
        step = event.step if event.step is not None else _reached(clock, event.created)
        sign, ink = sign_of(event)
        marks.append(Mark(step, sign, ink, event.text))
    return tuple(sorted(marks, key=lambda mark: (_WEIGHT.get(mark.style, 0), mark.x)))


def _evaluated(evaluations: Series) -> Iterable[Mark]:
    for step, mean in zip(evaluations.steps, evaluations.means, strict=True):
        if mean is not None:
            yield Mark(step, "○", "quiet", f"held-out loss {mean:.4f}")


def _reached(clock: Sequence[tuple[float, int]], when: float) -> int:
    """The step that the run had come to by then, as far as anything tells."""
    before = bisect_right(clock, (when, 1 << 62))
    return clock[before - 1][1] if before else 0
