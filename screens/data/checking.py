"""The part of the Data room that checks the dataset, shows what was found, repairs and divides it.

Knows which checks run and what comes of them. Looking, planning and changing are done in other
processes; the findings are kept in the store.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from msgspec import structs
from textual import on, work
from textual.content import Content

from screens.data.bulk import AT_ONCE, Bulk
from screens.data.filtering import Filtering
from screens.data.findinglist import FindingList
from screens.data.messages import Flagged
from screens.data.scanning import MAKING
from screens.data.views import View
from screens.widgets import words

if TYPE_CHECKING:
    from engine.data.background.client import AnyEvent, Planning, Repairs, Request
    from engine.data.dataset import Change, Dataset
    from engine.data.journal.shift import Shift
    from screens.data.review import Proposal, Review
    from screens.data.rowset import Rows

CHECKS = {"preflight": "preflight", "trainers": "asking trainers"}


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
        from engine.data.background.client import Repairs
        from engine.data.findings import fix
        from screens.data.review import Planned, Review
        from store.errors import BadInput

        change, raw = fix.repair(kind, self.renderer), self.open_document.raw

        def look(row: int) -> tuple[bytes, bytes | None]:
            before = raw(row)
            try:
                return before, change(before)
            except BadInput:
                return before, before

        window = Review(Content(f" fix: {kind.replace('_', ' ')} "), Planned(look), offer="change")
        self.propose(window, Repairs(kind, self.model_ref), f"fix {kind}")

    def propose(self, window: Review, request: Planning | Repairs, label: str) -> None:
        """Show what would change; what is not left out is changed when the person says so."""
        from engine.data.background.client import Making

        moment = self.open_document.moment

        def answered(answer: tuple[str, list[Proposal]] | None) -> None:
            self.stop_scan("plan")
            self.tell()
            if answer is None:
                return
            what, proposals = answer
            rows = [one.row for one in proposals if one.row is not None]
            if what == "go":
                self.jump(rows[0])
            elif len(window.changes) <= AT_ONCE:
                self.change([_change(one) for one in window.changes if one.row not in rows], label)
            else:
                but = array("Q", rows).tobytes()
                self._make(structs.replace(request, make=Making(moment, label, but)), label)

        window.complete = False
        self.app.push_screen(window, self.guarded(answered))
        self.scan("plan", request, lambda events: self._hear_plan(window, events), "planning")

    def _hear_plan(self, window: Review, events: list[AnyEvent]) -> None:
        """More changes are planned; the process that planned them is there when they are made."""
        from engine.data.background.client import Done, Failed, Report, warm

        found: list[int] = []
        for event in events:
            if isinstance(event, Failed):
                window.complaint = event.message
            elif isinstance(event, Report) and event.kind == "plan":
                found += event.body
            elif isinstance(event, Report) and event.kind == "skipped" and event.body[0]:
                count, first = event.body
                window.complaint = f"{words.plural(count, 'row')} cannot be changed: {first}"
        window.plan(found, complete=isinstance(events[-1], Done | Failed))
        if window.complete and len(window.changes):
            warm()

    def _make(self, request: Planning | Repairs, label: str) -> None:
        """Have the changes made, all of them or none."""

        def hear(events: list[AnyEvent]) -> None:
            from engine.data.background.client import Failed, Report

            for event in events:
                if isinstance(event, Failed):
                    raise event.error()
                if isinstance(event, Report) and event.kind == "made":
                    self.caught_up(label, event.body)

        self.scan(MAKING, request, hear, label)


def _change(one: Proposal) -> Change:
    from engine.data.dataset import Delete, Replace

    assert one.row is not None
    return Delete(one.row) if one.after is None else Replace(one.row, one.after)
