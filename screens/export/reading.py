"""The part of the Export room that is read: the list, the proof of one, and types side by side.

Knows what stands in which pane, and when a job is followed. Does not know the form.
"""

from __future__ import annotations

from pathlib import Path

from textual.content import Content
from textual.widgets import Static

from engine.export import advice
from screens.export.compare import compare_words
from screens.export.ledger import ExportList, Record, read_records
from screens.export.proof import error_words, proof_words
from screens.export.using import Using
from screens.safe import line
from screens.widgets import words
from screens.widgets.pane import Pane

ROOMY = 124
"""Columns from which on a second pane stands beside the first."""


class Reading(Using):
    """The list of exports and what is known of the one under the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self.following = False
        """Whether the proof's pane shows the job that runs, and not the export under the cursor."""
        self._told = False
        self._shown: tuple[int | None, str] | None = None

    @property
    def listing(self) -> ExportList:
        """The exports."""
        return self.query_one(ExportList)

    @property
    def choosing(self) -> bool:
        """Whether the form is shown, and not the list."""
        return self.has_class("-form")

    @property
    def current(self) -> Record | None:
        return None if self.choosing else self.listing.current

    @property
    def roomy(self) -> bool:
        """Whether two panes fit beside each other."""
        return self.app.size.width >= ROOMY

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "limits":
            return self.current is not None
        if action in ("read", "compare"):
            return not self.choosing and not self.has_class("-empty")
        return super().check_action(action, parameters)

    def read_again(self) -> None:
        """Read every record."""
        self.listing.show(read_records(self.catalogue))
        nothing = not self.listing.count and self.progress is None and self.error is None
        self.set_class(nothing, "-empty")
        self.show_proof()
        self.refresh_bindings()
        if self.progress is None:
            count = words.plural(self.listing.count, "export")
            self.status = Content.styled(count, "$foreground 60%")

    def look_at_current(self) -> None:
        """Show the export that the cursor came to; a job is followed on its own line."""
        record = self.listing.current
        if record is not None and record.key != self._shown:
            self._shown = record.key
            self.following = record.status == "running" and self.progress is not None
            self.error = None
            self.query_one("#proof-scroll").scroll_home(animate=False)
        self.show_proof()
        self.refresh_bindings()

    def show_proof(self) -> None:
        """The list's head, the proof, and what is compared with it."""
        if self.choosing or not self.query_one("#reading").size.width:
            return  # nothing is laid out yet
        heading = self.listing.heading(self.listing.size.width)
        self.query_one("#export-heading", Static).update(Content(heading))
        self._show_one()
        self._show_compared(self.listing.current)

    def _show_one(self) -> None:
        """What runs, what went wrong, or the proof of the export under the cursor."""
        pane, record = self.query_one("#proof-pane", Pane), self.listing.current
        width = pane.size.width - 2
        if width < 0:
            return
        followed = self.progress if self.following else None
        pane.set_class(followed is not None, "-alive")
        if followed is not None:
            pane.title_is(followed.title())
            shown = Content("\n").join(followed.lines(width))
        elif self.error is not None:
            pane.title_is(Content("what happened"))
            shown = error_words(self.error)
        elif record is not None:
            pane.title_is(line(f"proof of {record.path.name}"))
            shown = proof_words(record, width, told=self._told)
        else:
            pane.title_is(Content("proof"))
            shown = Content("")
        self.query_one("#proof-words", Static).update(shown)
        if followed is not None:
            scroll = self.query_one("#proof-scroll")
            self.call_after_refresh(scroll.scroll_end, animate=False)

    def _show_compared(self, record: Record | None) -> None:
        """Every measured type of the model under the cursor, where there are several."""
        pane, room = self.query_one("#compare-pane", Pane), self.query_one("#below").size
        if not room.width or not self.has_class("-compare"):
            return
        width = room.width // (2 if self.roomy else 1) - 3
        shown = Content("")
        rows = advice.measured(self.catalogue, record.ref) if record is not None else []
        if record is not None and len(rows) > 1:
            here = record.export.id if record.export else None
            shown = compare_words(
                rows, advice.recommend(rows), advice.which_merge(rows), here,
                max(width, 40), room.height - 1,
            )  # fmt: skip
        elif record is not None:
            few = "Export another type of this model, and both are compared here."
            shown = Content.styled(few, "$foreground 60%")
        pane.title_is(line(f"{record.ref if record else ''}: size against divergence"))
        self.query_one("#compare-words", Static).update(shown)

    # -- the job -----------------------------------------------------------------------------

    def began(self) -> None:
        self.following = True
        self.remove_class("-empty")
        self.set_class(self.roomy, "-compare")
        self.show_progress()

    def show_progress(self) -> None:
        progress = self.progress
        if progress is None:
            return
        self.status = progress.status()
        listed = any(record.status == "running" for record in self.listing.records)
        if len(progress.stages) == 1 and not listed:
            self.read_again()
            running = [r.path for r in self.listing.records if r.status == "running"]
            if running and self.following:
                self.listing.choose(running[-1])
        elif not self.choosing:
            self._show_one()

    def ended(self, made: list[Path]) -> bool:
        self.following = False
        self.read_again()
        if made:
            self.listing.choose(made[0])
        if len(made) > 1:
            self.add_class("-compare")
            self.call_after_refresh(self.show_proof)
        proved = [r for r in self.listing.records if r.path in made and r.status == "proved"]
        return len(made) == len(proved) > 0

    # -- actions -----------------------------------------------------------------------------

    def action_read(self) -> None:
        """A page on, from the end back to the beginning."""
        proof = self.roomy or not self.has_class("-compare")
        scroll = self.query_one("#proof-scroll" if proof else "#compare-scroll")
        if scroll.scroll_y < scroll.max_scroll_y:
            scroll.scroll_page_down(animate=False)
        else:
            scroll.scroll_home(animate=False)

    def action_limits(self) -> None:
        self._told = not self._told
        self.show_proof()

    def action_compare(self) -> None:
        self.toggle_class("-compare")
        self.call_after_refresh(self.show_proof)
