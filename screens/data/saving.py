"""The part of the Data room that writes edits into the file, and asks where the file has changed.

Knows what may happen to a file meanwhile. Writing is a worker's, through a document of its own.
"""

from __future__ import annotations

from pathlib import Path

from textual import on, work
from textual.content import Content

from screens.data.messages import Saved
from screens.data.shared import Shared
from screens.safe import text
from store.errors import BadInput, Conflict, WorkbenchError


class Saving(Shared):
    """Saving, and what to do about a file that was changed underneath."""

    def action_save(self) -> None:
        document = self.open_document
        if not document.unsaved:
            self.say("Nothing to save.")
            return
        self.status = Content.styled("saving …", "$accent")
        self._save(document.path, force=False)

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, path: Path, force: bool) -> None:
        """Save through a document of its own: the journal is in the catalogue, not in memory."""
        from engine.data.document import Document

        try:
            if not path.exists():
                raise BadInput(
                    f"{path}: the file is gone since it was opened",
                    "Put it back and save again; the edits are kept in the workspace.",
                )
            with (
                self.open_catalogue() as cat,
                Document.open(cat, path, force=force) as document,
            ):
                self.post_message(Saved(document.save(force=force)))
        except Conflict as conflict:
            self.post_message(Saved(None, conflict))
        except WorkbenchError:
            self.post_message(Saved(None))
            raise

    @on(Saved)
    def _saved(self, event: Saved) -> None:
        document = self.document
        if document is None:
            return
        if event.conflict is not None:
            self.tell()
            self.ask_about(event.conflict, document.path)
        elif event.report is None:
            self.tell()
        else:
            self.open_file(document.path, self.rows.number)
            self.say(f"Saved {event.report.rows:,} rows, {event.report.bytes:,} bytes.")

    def ask_about(self, conflict: Conflict, path: Path) -> None:
        """The file was changed underneath: say so, and let the person choose."""
        from screens.widgets.modals import Choice, ChoiceModal

        def chosen(answer: str | None) -> None:
            if answer != "anyway":
                return
            if self.document is not None and self.document.path == path:
                self._save(path, force=True)
            else:
                self.open_file(path, force=True)

        choices = (Choice("a", "put my edits on top of the file as it is now", "anyway"),)
        question = text(conflict.message) + text(f"\n{conflict.hint}", "$text-muted")
        modal = ChoiceModal("The file was changed outside", question, choices)
        self.app.push_screen(modal, self.guarded(chosen))
