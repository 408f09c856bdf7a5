"""The part of the Data room that checks the dataset, shows what was found, repairs and divides it.

Knows which checks run and what comes of them. The looking is done in other processes, the findings
are kept in the store, repairs are planned in `engine.data.findings.fix`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content
from textual.worker import get_current_worker

from screens.data.bulk import Bulk
from screens.data.filtering import Filtering
from screens.data.findinglist import FindingList
from screens.data.messages import Differed, Flagged
from screens.data.views import View

if TYPE_CHECKING:
    from engine.data.background.client import AnyEvent, Request
    from engine.data.dataset import Change, Dataset
    from engine.data.journal.shift import Shift
    from screens.data.review import Proposal, Review
    from screens.data.rowset import Rows

CHECKS = {"preflight": "preflight", "trainers": "asking trainers"}
BATCH = 200


class Checking(Filtering, Bulk):
    """`!` findings, and bulk repairs."""

    def __init__(self) -> None:
        super().__init__()
        self._findings: FindingList | None = None

    def opened(self) -> None:
        super().opened()
        self.look_at_tags()
        self.load_flags()

    # Looking

    def action_findings(self) -> None:
        """Findings of every kind; a check can be started there."""
        window = FindingList(self)

        def answered(answer: tuple[str, str | int] | None) -> None:
            self._findings = None
            if answer is None:
                return
            what, value = answer
            if what == "go" and isinstance(value, int):
                self.jump(value)
            elif what == "list" and isinstance(value, str):
                self.list_findings(value)
            elif isinstance(value, str):
                self.fix(value)

        self._findings = window
        self.app.push_screen(window, self.guarded(answered))

    def toggle_check(self, name: str) -> None:
        """Start a check in the background, or stop it; what it found before stays until it ends."""
        if self.stop_scan(name):
            self.tell()
            return
        request: Request
        if name == "preflight":
            from engine.data.findings.checking import Preflight

            request = Preflight(self.model_ref, max_length=self.max_length or None)
        else:
            from engine.data.split.dividing import Trainers

            request = Trainers()
        self.scan(name, request, self._hear_check, CHECKS[name])

    def _hear_check(self, events: list[AnyEvent]) -> None:
        from engine.data.background.client import Done, Failed

        window = self._findings
        if isinstance(events[-1], Done):
            self.call_later(self.load_flags)
            if window is not None:
                self.call_later(window.read)
        elif window is not None:
            self.call_later(window.tell)
        for event in events:
            if isinstance(event, Failed):
                raise event.error()

    def check_words(self) -> Content:
        """How far the checks are."""
        return self.scan_words()

    # Signs in the list

    def load_flags(self) -> None:
        """Read which rows have findings, for the signs in the list."""
        if self.document is not None:
            self._read_flags(self.document, self.document.dataset_id, self.document.moment)

    @work(thread=True, exclusive=True, group="flags", exit_on_error=False)
    def _read_flags(self, document: Dataset, dataset_id: int, moment: int) -> None:
        from engine.data.findings.kinds import KINDS
        from screens.data.findinglist import TRAINERS
        from screens.data.rowset import rows_of
        from store import findings

        with self.open_catalogue() as cat:
            found: dict[str, Rows] = {}
            since = moment
            kinds: dict[str, list[str]] = {"error": [], "warn": []}
            for kept in findings.sets(cat, dataset_id):
                if kept.source == TRAINERS:
                    continue
                since = min(since, kept.moment)
                for kind in kept.counts:
                    level = KINDS[kind].level if kind in KINDS else "warn"
                    kinds.setdefault(level, []).append(kind)
            for level in ("error", "warn"):
                found[level] = rows_of(findings.lines(cat, dataset_id, kinds[level]))
        self.post_message(Flagged(document, since, found["error"], found["warn"]))

    @on(Flagged)
    def _flagged(self, event: Flagged) -> None:
        from screens.data.rowset import shifted

        document = self.document
        if document is None or event.document is not document:
            return
        shift = document.shift(event.moment)
        self.rows.errors = shifted(event.errors, shift)
        self.rows.warnings = shifted(event.warnings, shift)
        self.rows.forget()

    # Rows of a kind

    def shift_rows(self, shift: Shift) -> None:
        super().shift_rows(shift)
        from screens.data.rowset import shifted

        rows = self.rows
        rows.errors = None if rows.errors is None else shifted(rows.errors, shift)
        rows.warnings = None if rows.warnings is None else shifted(rows.warnings, shift)

    def list_findings(self, kind: str) -> None:
        """List the rows that have a finding of this kind."""
        from engine.data.findings.recorded import rows_with
        from screens.data.rowset import narrowed, rows_of

        found = rows_of(rows_with(self.catalogue, self.open_document, kind))
        below = self.below()
        self.lay(View(f"finding {kind}", found if below is None else narrowed(below, found)))

    # Repairs

    def fix(self, kind: str) -> None:
        """Plan the repair of all rows of a kind, and show every change before it is made."""
        from screens.data.review import Review

        window = Review(Content(f" fix: {kind.replace('_', ' ')} "), [], offer="change")
        window.complete = False
        self.review(window, f"fix {kind}")
        self._plan_fix(str(self.open_document.path), window, kind)

    def review(self, window: Review, label: str) -> None:
        """Show changes; those that are not left out are made when the person says so."""

        def answered(answer: tuple[str, list[Proposal]] | None) -> None:
            self.workers.cancel_group(self, "plan")
            if answer is None:
                return
            what, proposals = answer
            if what == "go" and proposals[0].row is not None:
                self.jump(proposals[0].row)
            elif what == "apply":
                self.change(_changes(proposals), label)

        self.app.push_screen(window, self.guarded(answered))

    @work(thread=True, exclusive=True, group="plan", exit_on_error=False)
    def _plan_fix(self, path: str, window: Review, kind: str) -> None:
        """Plan with a document of the thread's own."""
        from engine.data.dataset import open_dataset
        from engine.data.findings import fix, recorded
        from screens.data.review import Proposal

        worker = get_current_worker()
        found: list[Proposal] = []
        left = 0
        with self.open_catalogue() as cat, open_dataset(cat, path) as document:
            shown = recorded.shown(cat, document, kind=kind)
            for planned in fix.plan(document, shown, self.renderer):
                if worker.is_cancelled:
                    return
                if planned.change is None:
                    left += 1
                    continue
                found.append(Proposal(planned.row, planned.before, planned.after))
                if len(found) >= BATCH:
                    self.post_message(Differed(window, found, complete=False))
                    found = []
        said = f"{left:,} rows cannot be repaired like this and stay as they are" if left else ""
        self.post_message(Differed(window, found, complete=True, note=said))


def _changes(proposals: list[Proposal]) -> list[Change]:
    from engine.data.dataset import Delete, Replace

    return [
        Delete(one.row) if one.after is None else Replace(one.row, one.after)
        for one in proposals
        if one.row is not None
    ]
