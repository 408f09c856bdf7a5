"""The part of the Data room that does something to all marked rows, or to the one under the cursor.

Knows which rows are meant and what is to be done. Many rows are changed in a worker, through a
document of its own; either way it is one step to undo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content

from screens.data.editing import Editing
from screens.data.messages import ChangedMany
from screens.data.selecting import Selecting
from screens.widgets import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.data.dataset import Change

AT_ONCE = 200
"""Changes that are made at once; more are made elsewhere, while keys are answered."""


class Bulk(Selecting, Editing):
    """Delete, duplicate, move, tag and note."""

    def change(self, changes: Sequence[Change], label: str) -> None:
        """Make many changes as one step."""
        if len(changes) <= AT_ONCE:
            self.open_document.change(changes, label)
            self._changed_many(label, len(changes))
        else:
            self.status = Content.styled(f"{label} …", "$accent")
            self._change(str(self.open_document.path), list(changes), label)

    @work(thread=True, group="change", exit_on_error=False)
    def _change(self, path: str, changes: Sequence[Change], label: str) -> None:
        from engine.data.dataset import open_dataset

        with self.open_catalogue() as cat, open_dataset(cat, path) as document:
            document.grow()
            done = document.change(changes, label)
        self.post_message(ChangedMany(path, label, done))

    @on(ChangedMany)
    def _were_changed(self, event: ChangedMany) -> None:
        document = self.document
        if document is not None and str(document.path) == event.path:
            self.caught_up(event.label, event.rows)

    def caught_up(self, label: str, rows: int) -> None:
        """Show what somebody else changed in the document."""
        with self.open_document.writing():
            """Entering it catches up with what others did."""
        self._changed_many(label, rows)

    def _changed_many(self, label: str, rows: int) -> None:
        self.forget_marks()
        self.changed(self.rows.number if self.rows.count else 1)
        said = f"{words.plural(rows, 'row')}: {label}" if rows else label.capitalize()
        self.say(f"{said}. u takes it back.")

    # One key each

    def action_delete(self) -> None:
        from engine.data.dataset import Delete

        if not self.selected and self.rows.range_from is None:
            super().action_delete()
            return
        rows = self.targets()
        self.change([Delete(int(row)) for row in rows], "deleted")

    def action_duplicate(self) -> None:
        """The same row once more, below."""
        number = self.rows.number
        new = self.open_document.duplicate(number)
        self.follow_edits()
        self.list_row(new)
        self.changed(new)

    def action_move_down(self) -> None:
        self._move(1)

    def action_move_up(self) -> None:
        self._move(-1)

    def _move(self, by: int) -> None:
        """Swap the row with its neighbour in the file."""
        if self.views:
            self.say("Rows move in the whole file only: esc takes the view off.")
            return
        number = self.rows.number
        to = number + by
        if 1 <= to <= self.open_document.count:
            self.open_document.move(number, to)
            self.changed(to)

    def action_tag(self) -> None:
        """Give the rows a tag, or take one off."""
        from screens.widgets.modals import PickModal

        document, rows = self.open_document, [int(row) for row in self.targets()]
        has = set(document.annotations(rows[0]).tags)
        known = document.tags()
        items = [
            (tag, f"{'✓ ' if tag in has else '  '}{tag:<24} {count:,}")
            for tag, count in sorted(known.items())
        ]

        def chosen(tag: str | None) -> None:
            if tag is None:
                return
            if tag in has:
                document.annotate(rows, remove=[tag])
            else:
                document.annotate(rows, add=[tag])
            self.annotated()

        self.app.push_screen(
            PickModal(
                f"Tag {self.target_words()} · ✓ takes it off",
                items,
                placeholder="a new tag, or part of one",
                free=True,
            ),
            self.guarded(chosen),
        )

    def action_note(self) -> None:
        """Write a note beside the rows."""
        from screens.widgets.modals import LineModal

        document, rows = self.open_document, [int(row) for row in self.targets()]

        def written(note: str | None) -> None:
            if note is not None:
                document.annotate(rows, note=note.strip())
                self.annotated()

        self.app.push_screen(
            LineModal(
                f"Note on {self.target_words()}",
                value=document.annotations(rows[0]).note,
                placeholder="empty takes the note away",
            ),
            self.guarded(written),
        )

    def annotated(self) -> None:
        """Tags or notes are not what they were."""
        self.look_at_tags()
        self.rows.forget_rows()
        self.show_row()
        self.tell()

    def look_at_tags(self) -> None:
        """Show tags and notes in the list where there are any."""
        from engine.data.dataset import Several
        from store import annotations

        document = self.open_document
        files = document.files if isinstance(document, Several) else [document]
        some = any(annotations.some(self.catalogue, file.dataset_id) for file in files)
        self.rows.tags = self._first_tag if some else None

    def _first_tag(self, number: int) -> str:
        noted = self.open_document.annotations(number)
        return next(iter(noted.tags), "¶" if noted.note else "")
