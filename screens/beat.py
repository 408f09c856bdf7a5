"""What trains now, for every room: read while something runs, and at rest otherwise.

Knows runs as the catalogue has them. Knows no widget: the application shows what a beat says.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content
from textual.message import Message

from engine.train.status import refresh
from screens.widgets import words
from store.catalogue import Catalogue
from store.runs import Run
from store.workspace import Workspace

EVERY = 2.0
"""Seconds between beats while something runs."""
_BAD = ("failed", "lost")


class Beat(Message):
    """The runs that run or wait, and those that did at the beat before, newest first."""

    def __init__(self, runs: tuple[Run, ...]) -> None:
        super().__init__()
        self.runs = runs

    @property
    def alive(self) -> tuple[Run, ...]:
        """Those that run or wait."""
        return tuple(run for run in self.runs if run.status in words.ALIVE)

    @property
    def ended(self) -> tuple[Run, ...]:
        """Those that ended since the beat before."""
        return tuple(run for run in self.runs if run.status not in words.ALIVE)


def listen(workspace: Workspace, before: Iterable[int]) -> Beat:
    """Look at the runs, in a worker thread.

    Args:
        before: ids of the runs that were alive at the beat before.
    """
    with Catalogue.open(workspace) as cat:
        known = set(before)
        return Beat(
            tuple(run for run in refresh(cat) if run.status in words.ALIVE or run.id in known)
        )


def foremost(known: Iterable[Run]) -> Run | None:
    """The run for someone who comes back: the newest that runs, else the newest that waits."""
    alive = [run for run in known if run.status in words.ALIVE]
    return min(alive, key=lambda run: (run.status != "running", -run.id), default=None)


def alive_words(alive: tuple[Run, ...]) -> Content:
    """`▶ run 2 45/120`, or how many; empty when nothing runs."""
    if not alive:
        return Content("")
    if len(alive) > 1:
        return Content.styled(f"▶ {len(alive)} runs", "$accent")
    run = alive[0]
    if run.status == "queued":
        return words.state("queued", f"run {run.id} waits")
    where = f" {run.step:,}/{run.total_steps:,}" if run.total_steps else ""
    return Content.styled(f"▶ run {run.id}{where}", "$accent")


def end_words(run: Run) -> tuple[str, bool]:
    """What to say of a run that ended, and whether that is bad."""
    sign, _ = words.STATES.get(run.status, ("·", ""))
    reason = f": {run.reason}" if run.reason and run.status in _BAD else ""
    return f"{sign} run {run.id} {run.status}{reason}", run.status in _BAD
