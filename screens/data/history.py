"""The part of the Data room that compares: with the file as it is, and with its versions.

Knows windows and what comes back from them. Comparing and restoring are the document's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content

from screens.data.messages import ChangedMany, Differed
from screens.data.shared import Shared
from screens.safe import line

if TYPE_CHECKING:
    from engine.data.dataset import Dataset
    from screens.data.review import Proposal, Review

BATCH_SECONDS = 0.2


class History(Shared):
    """`D` shows the unsaved difference, `V` the versions of the file."""

    def action_diff(self) -> None:
        """Before and after of every row that the file does not have like this."""
        from screens.data.review import Review

        document = self.open_document
        title = Content(" unsaved difference of ") + line(document.name, "bold") + Content(" ")
        window = Review(title, [])
        window.complete = False

        def answered(answer: tuple[str, list[Proposal]] | None) -> None:
            self.workers.cancel_group(self, "diff")
            if answer is not None and answer[1][0].row is not None:
                self.jump(answer[1][0].row)

        self.app.push_screen(window, self.guarded(answered))
        self._diff(document, window)

    @work(thread=True, exclusive=True, group="diff", exit_on_error=False)
    def _diff(self, document: Dataset, window: Review) -> None:
        from textual.worker import get_current_worker

        from screens.data.review import Proposal

        worker = get_current_worker()
        found: list[Proposal] = []
        told = time.monotonic()
        for change in document.changes():
            if worker.is_cancelled:
                return
            found.append(Proposal(change.row, change.before, change.after, change.file_line))
            if time.monotonic() - told > BATCH_SECONDS:
                self.post_message(Differed(window, found, complete=False))
                found, told = [], time.monotonic()
        self.post_message(Differed(window, found, complete=True))

    @on(Differed)
    def _differed(self, event: Differed) -> None:
        event.window.complaint = event.note
        event.window.add(event.found, complete=event.complete)

    def action_versions(self) -> None:
        """What the file was at each save; one can be brought back."""
        from screens.data.versionlist import VersionList

        document = self.open_document

        def chosen(version: int | None) -> None:
            if version is not None:
                self.status = Content.styled("restoring …", "$accent")
                self._restore(str(document.path), version)

        self.app.push_screen(VersionList(document.versions()), self.guarded(chosen))

    @work(thread=True, group="change", exit_on_error=False)
    def _restore(self, path: str, version: int) -> None:
        from engine.data.dataset import open_dataset

        with self.open_catalogue() as cat, open_dataset(cat, path) as document:
            step = document.restore(version)
        self.post_message(ChangedMany(path, step.label, 0))
