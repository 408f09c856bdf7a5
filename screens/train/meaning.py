"""What a run's curves mean: the diagnosis, asked now and then, and the pane that shows it.

Knows how a verdict is laid out, short and in full. Does not judge: `engine.diagnosis` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from screens.safe import line, text
from screens.widgets import words
from store.runfeed import RunFeed
from store.runs import Run

if TYPE_CHECKING:
    from engine.diagnosis import Verdict
    from engine.diagnosis.reading import StepRows

Verdicts = tuple["Verdict", ...]

EVERY = 2.0
"""Seconds between two judgements of a run that goes on."""
ROWS = 5_000
"""Of a run on more rows a spike is told without its lines: they would have to be rendered here."""
_TONES = {"bad": "$text-error", "warn": "$text-warning", "good": "$text-success",
          "info": "$foreground 60%"}  # fmt: skip


class Judge:
    """The newest verdicts of one run at a time, made anew where enough is new."""

    def __init__(self) -> None:
        self._seen: tuple[int, int, int, str] | None = None
        self._rows: StepRows | None = None
        self._when = 0.0
        self._verdicts: Verdicts = ()
        self._called = False

    def look(self, run: Run, feed: RunFeed) -> Verdicts | None:
        """What the run's curves mean; from memory while little has changed.

        None at the very first call: the rules take long to import, and who comes back waits.
        """
        if not self._called:
            self._called = True
            return None
        seen = (run.id, run.step, len(feed.events), run.status)
        now = words.now()
        before = self._seen or (0, 0, 0, "")
        same_run, same = before[0] == run.id, (before[0], before[-1]) == (run.id, run.status)
        if seen == self._seen or (same and 0 <= now - self._when < EVERY):
            return self._verdicts
        from engine.diagnosis import Curves, diagnose
        from engine.diagnosis.reading import StepRows, facts_of

        folder = feed.reader.path.parent
        if self._rows is None or not same_run:
            self._rows = StepRows(run, folder, ROWS)
        known = facts_of(run, folder, feed.checkpoints, feed.events, rows_at=self._rows)
        self._verdicts = tuple(diagnose(Curves.from_reader(feed.reader), known))
        self._seen, self._when = seen, now
        return self._verdicts


def tone(verdict: Verdict) -> str:
    """The colour of a verdict; what cannot be told has none."""
    return _TONES[verdict.severity] if verdict.known else "$foreground 60%"


def short_words(verdicts: Verdicts, rows: int) -> Content:
    """One line a verdict, at most `rows`; the last says how many more there are."""
    shown = verdicts if len(verdicts) <= rows else verdicts[: max(rows, 1)]
    lines = [
        Content.styled(f"{verdict.mark} ", tone(verdict)) + line(verdict.text, limit=300)
        for verdict in shown
    ]
    if len(shown) < len(verdicts) and lines:
        more = f"  +{len(verdicts) - len(shown)} · w"
        lines[-1] = Content.styled(more.strip() + "  ", "$accent") + lines[-1]
    return Content("\n").join(lines)


def full_words(verdicts: Verdicts) -> Content:
    """Every verdict with its evidence, what to do, and the knob."""
    parts = []
    for verdict in verdicts:
        said = Content.styled(f"{verdict.mark} ", tone(verdict)) + text(verdict.text, limit=1000)
        if verdict.advice:
            said += Content("\n  → ") + text(verdict.advice, limit=1000)
        if verdict.knob:
            said += Content.styled(f"\n  knob: {verdict.knob}", "$accent")
        if verdict.evidence:
            facts = ", ".join(f"{name} {_plain(value)}" for name, value in verdict.evidence.items())
            said += Content("\n") + text(f"  {facts}", "$foreground 60%", limit=1000)
        parts.append(said)
    return Content("\n\n").join(parts)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_plain(part) for part in value[:8]) + (" …" if len(value) > 8 else "")
    return "not known" if value is None else str(value)
