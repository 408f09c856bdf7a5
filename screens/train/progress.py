"""How far a run is, in one line: state, bar, step, epoch, time left.

Knows a look. Does not know how the time left was told (see `engine.train.pace`).
"""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from screens.safe import line
from screens.train.reading import Look
from screens.widgets import words


class Progress(Widget):
    """One line, whatever the width."""

    DEFAULT_CSS = "Progress { height: 1; }"
    look: reactive[Look | None] = reactive[Look | None](None)

    def render(self) -> Content:
        if self.look is None:
            return Content("")
        run = self.look.run
        state = words.state(run.status)
        facts = self._facts(self.look)
        if not run.total_steps or run.status not in words.ALIVE:
            return Content.assemble(state, "  ", facts)
        width = self.size.width - state.cell_length - facts.cell_length - 4
        middle = words.bar(run.step / run.total_steps, width) if width >= 6 else Content("")
        return Content.assemble(state, "  ", middle, "  ", facts)

    def _facts(self, look: Look) -> Content:
        run = look.run
        parts = []
        if run.total_steps:
            parts.append(f"step {run.step:,}/{run.total_steps:,}")
        if look.epoch is not None:
            parts.append(f"epoch {look.epoch:.1f}")
        if run.status == "queued":
            place = f", place {run.place}" if run.place else ""
            parts.append(f"waiting for the device{place}")
        elif run.status == "running" and not run.total_steps:
            parts.append("getting ready: libraries, model and data are read")
        if evaluating(look):
            parts.append("evaluating")
        elif look.left is not None:
            parts.append(f"ETA {words.duration(look.left)}")
        if run.finished is not None and run.started is not None:
            parts.append(f"took {words.duration(run.finished - run.started)}")
        if look.best is not None and run.status not in words.ALIVE:
            parts.append(f"best held out {look.best[1]:.3f} @{look.best[0]:,}")
        facts = Content.styled(" · ".join(parts), "$foreground 60%")
        if run.reason and run.status != "queued":
            silent = run.status == "running"
            said = Content.styled("! ", "$text-warning") if silent else Content("")
            facts = Content.assemble(said, line(run.reason, limit=200), "  ", facts)
            return facts.truncate(max(self.size.width - 12, 20), ellipsis=True)
        return facts


def evaluating(look: Look) -> bool:
    """Whether a run stands at a step that is evaluated, and something is still to be measured."""
    run, every = look.run, look.run.recipe.get("eval_steps")
    if look.left is None or not isinstance(every, int) or every < 1:
        return False  # Without a step of its own the process is still getting ready.
    if run.step % every and run.step != run.total_steps:
        return False
    asked = [series.steps[-1] for series in look.suites.values() if series.steps]
    held = look.figures.get("eval_loss")
    asked += [held.steps[-1]] if held is not None and held.steps else []
    return bool(asked) and min(asked) < run.step
