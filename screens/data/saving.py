"""The part of the Data room that writes edits into the file, and asks where the file has changed.

Knows what may happen to a file meanwhile. Writing is a worker's, through a document of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content

from screens.data.messages import Merged, Saved
from screens.data.shared import Shared
from screens.safe import text
from screens.widgets import words
from store.errors import BadInput, Conflict, NotFound, WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.data.dataset import Changed
    from engine.data.journal.overlay import Choice


class Saving(Shared):
    """Saving, and the three ways on where a file was changed underneath the edits."""

    def action_save(self) -> None:
        document = self.open_document
        if not document.unsaved:
            self.say("Nothing to save.")
            return
        self.status = Content.styled("saving …", "$accent")
        self._save(document.path)

    @work(thread=True, group="save", exit_on_error=False)
    def _save(self, path: Path) -> None:
        """Save through a document of its own: the journal is in the catalogue, not in memory."""
        from engine.data.dataset import open_dataset

        try:
            with self.open_catalogue() as cat, open_dataset(cat, path) as document:
                self.post_message(Saved(path, document.save()))
        except Conflict as conflict:
            self.post_message(Saved(path, None, conflict))
        except NotFound:
            self.post_message(Saved(path, None))
            raise BadInput(
                f"{path}: the file is gone since it was opened",
                "Put it back and save again; the edits are kept in the workspace.",
            ) from None
        except WorkbenchError:
            self.post_message(Saved(path, None))
            raise

    @on(Saved)
    def _saved(self, event: Saved) -> None:
        document = self.document
        if document is None or document.path != event.path:
            return
        if event.conflict is not None:
            self.tell()
            self.ask_about(event.conflict, document.path)
        elif event.report is None:
            self.tell()
        else:
            self.open_file(document.path, self.rows.number if self.rows.count else 1)
            report = event.report
            self.say(f"Saved {words.plural(report.rows, 'row')}, {words.size(report.bytes)}.")
            self._show_unplaced(report.unplaced)

    def ask_about(self, conflict: Conflict, path: Path) -> None:
        """The file was changed underneath: mine, theirs, or both."""
        from screens.widgets.modals import Choice as Answer
        from screens.widgets.modals import ChoiceModal

        choices = (
            Answer("b", "both: put each edit on its own line, found by its content", "merge"),
            Answer("m", "mine: my edits by line number, over the file as it is now", "mine"),
            Answer("t", "theirs: drop my edits and show the file as it is now", "theirs"),
        )
        question = text(conflict.message) + text(
            "\nYour edits are kept until you choose; nothing was written.", "$text-muted"
        )

        def chosen(answer: str | None) -> None:
            if answer is not None:
                self.status = Content.styled("looking at the file …", "$accent")
                self._reconcile(path, answer)

        modal = ChoiceModal("The file was changed outside", question, choices)
        self.app.push_screen(modal, self.guarded(chosen))

    @work(thread=True, group="save", exit_on_error=False)
    def _reconcile(self, path: Path, answer: str) -> None:
        """Bring edits and file together as chosen; saving remains for the person to do."""
        from engine.data.dataset import Several, discard, open_dataset
        from engine.data.journal.memory import unplaced

        with self.open_catalogue() as cat:
            gone = discard(cat, path) if answer == "theirs" else 0
            choice: Choice = "merge" if answer == "merge" else "mine"
            with open_dataset(cat, path, choice=choice) as document:
                files = document.files if isinstance(document, Several) else [document]
                aside = [one for file in files for one in unplaced(cat, file.dataset_id)]
                self.post_message(Merged(path, gone, document.unsaved, aside))

    @on(Merged)
    def _merged(self, event: Merged) -> None:
        self.open_file(event.path, self.rows.number if self.rows.count else 1)
        if event.gone:
            self.say(f"{words.plural(event.gone, 'edit')} dropped; this is the file as it is now.")
        elif event.unsaved:
            said = f"{words.plural(event.unsaved, 'edit')} on the file as it is now; s saves."
            self.say(said)
        self._show_unplaced(event.unplaced)

    def _show_unplaced(self, unplaced: Sequence[Changed]) -> None:
        """Edits for which a merge found no line are shown, never lost in silence."""
        from screens.data.review import Proposal, Review

        if unplaced:
            found = [Proposal(None, c.before, c.after, c.file_line) for c in unplaced]
            title = " edits whose line is no longer in the file (kept aside) "
            self.app.push_screen(Review(Content(title), found))
