"""The part of the Data room that lists some of the rows, or lists them in another order.

Views lie on one another: each narrows or orders what the one below it lists, and `esc` takes the
last one off. Knows row numbers. Which rows a view has is found by a scan in another process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content

from screens.data.shared import Shared
from screens.safe import line

if TYPE_CHECKING:
    from engine.data.journal.shift import Shift
    from screens.data.rowset import Rows


@dataclass(slots=True)
class View:
    """What is listed instead of the whole document.

    Attributes:
        words: for the title: `filter turns > 2`, `longest first`.
        rows: numbers of the rows, in the order they are listed.
        ordered: whether it is an order of its own, not the document's.
        complete: whether the scan has seen everything.
    """

    words: str
    rows: Rows
    ordered: bool = False
    complete: bool = True


class Views(Shared):
    """The stack of views."""

    def __init__(self) -> None:
        super().__init__()
        self.views: list[View] = []
        self.moment_shown = 0
        """The state of the document in which rows were numbered last."""

    def below(self) -> Rows | None:
        """What is listed now, on which a new view is laid; None for the whole document."""
        return self.views[-1].rows if self.views else None

    def lay(self, view: View) -> None:
        """List what a view has, on top of those there are."""
        self.views.append(view)
        self.show_view()

    def show_view(self) -> None:
        """List what the topmost view has by now."""
        top = self.views[-1] if self.views else None
        self.rows.list_rows(top.rows if top else None, looking=bool(top and not top.complete))
        self.show_row()
        self.tell()

    def take_off(self) -> bool:
        """Take the topmost view off; False when there is none."""
        if not self.views:
            return False
        self.views.pop()
        self.show_view()
        return True

    def forget_views(self) -> None:
        """List the document whole."""
        self.views.clear()
        self.moment_shown = self.open_document.moment

    def follow_edits(self) -> None:
        """Rows may have other numbers: views go on listing the same rows."""
        document = self.open_document
        if document.moment == self.moment_shown:
            return
        shift = document.shift(self.moment_shown)
        self.moment_shown = document.moment
        if shift.outside:
            self.forget_views()
        else:
            self.shift_rows(shift)

    def shift_rows(self, shift: Shift) -> None:
        """Whatever holds row numbers keeps to its rows."""
        from screens.data.rowset import shifted

        for view in self.views:
            view.rows = shifted(view.rows, shift)

    def list_row(self, number: int) -> None:
        """See to it that the views list a row that was added or came back."""
        from screens.data.rowset import with_row

        for view in self.views:
            view.rows = with_row(view.rows, number, view.ordered)

    def view_words(self) -> Content:
        """What is on, for the title."""
        words = Content("")
        for view in self.views:
            words += Content.styled(" › ", "$accent") + line(view.words, "$accent", limit=60)
        if self.views:
            top = self.views[-1]
            dots = "" if top.complete else "+"
            words += Content.styled(f" · {len(top.rows):,}{dots}", "$text-muted")
        return words
