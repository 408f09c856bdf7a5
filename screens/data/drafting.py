"""The part of the Data room that keeps what is being written safe: drafts on disk.

Knows when a draft is due and where drafts lie. Does not know what an editor looks like.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import work
from textual.timer import Timer

from screens.data.shared import Shared

if TYPE_CHECKING:
    from screens.data.editor import Editor
    from store.drafts import Drafts

DRAFT_REST = 0.5
"""Seconds without a key after which a draft is written."""


class Drafting(Shared):
    """A draft of the row under the pen."""

    def __init__(self) -> None:
        super().__init__()
        self._draft: Timer | None = None

    def draft_soon(self, rest: float) -> None:
        """Write a draft once the hand has rested, no sooner than after `rest` seconds."""
        if self._draft is not None:
            self._draft.stop()
        self._draft = self.set_timer(max(DRAFT_REST, rest), self._keep_draft)

    def stop_drafting(self) -> None:
        """Write no more."""
        if self._draft is not None:
            self._draft.stop()
            self._draft = None
        self.workers.cancel_group(self, "draft")

    @property
    def drafts(self) -> Drafts:
        from store.drafts import Drafts

        return Drafts(self.workspace)

    def _keep_draft(self) -> None:
        """Write what is on the pen to disk, in a worker; nothing is kept of what was taken back."""
        if self.under_pen is None or self.document is None:
            return
        if self.under_pen.changed:
            self._write_draft(self.document.dataset_id, self.under_pen)
        else:
            self.workers.cancel_group(self, "draft")
            self.drafts.drop(self.document.dataset_id, self.under_pen.base)

    @work(thread=True, exclusive=True, group="draft", exit_on_error=False)
    def _write_draft(self, dataset: int, editor: Editor) -> None:
        self.save_draft(dataset, editor)

    def save_draft(self, dataset: int, editor: Editor) -> None:
        from store.drafts import Draft
        from store.errors import NoSpace

        row, words, place = editor.draft()
        try:
            self.drafts.keep(dataset, editor.base,
                              Draft(editor.kind, row, words, place, time.time()))  # fmt: skip
        except OSError as error:
            raise NoSpace(
                f"no draft of row {editor.number:,} could be written ({error.strerror})",
                "ctrl+s keeps the row itself; make room on the disk",
            ) from error

    def keep_draft(self) -> None:
        """Write what is on the pen to disk, at once."""
        editor = self.under_pen
        if editor is None or self.document is None:
            return
        if editor.changed:
            self.save_draft(self.document.dataset_id, editor)
        elif self._draft is not None:
            self.drafts.drop(self.document.dataset_id, editor.base)
