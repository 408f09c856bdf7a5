"""The Data room: rows of a dataset, one of them read, edited and seen as training sees it.

Puts the room's parts together and says in title and status line what is shown. Does not know
JSON, tokens or files: the document edits, the renderer renders, workers do what takes time.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from screens.actions import bindings, room_actions
from screens.data.asking import AskLine
from screens.data.browsing import Browsing
from screens.data.history import History
from screens.data.replacing import Replacing
from screens.data.rowlist import RowList
from screens.data.saving import Saving
from screens.data.scanning import MAKING
from screens.data.side import Side
from screens.data.sorting import Sorting
from screens.data.writing import Writing
from screens.safe import line, visible
from screens.widgets import words
from screens.widgets.pane import EmptyState, Pane, empty_state

_KEYS = (("o", "open a starter dataset, a recent one, or a path"), ("?", "all keys"))


class DataRoom(Sorting, Writing, Replacing, History, Saving, Browsing):
    """The list of rows, and the row beside it."""

    ROOM = "data"
    TITLE_WORDS = (
        "Rows of a dataset, of any format and size. Edits are kept at once and survive a crash; "
        "the file itself changes only when you save. ✎ edited · + added · ! wants a look · "
        "✗ not trained on · ● marked · ¶ has a note."
    )
    CSS_PATH = "styles.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(room_actions("data"))]

    def compose_room(self) -> ComposeResult:
        with Pane(id="list"):
            yield Static(id="trouble")
            yield Static(id="head")
            yield RowList()
            yield AskLine("f", "an expression; ⏎ lists the rows that fit", "filter")
            yield AskLine("/", "find words", "find")
        yield Side()
        with Container(classes="nothing"):
            yield EmptyState("No dataset is open.", _KEYS)

    def on_mount(self) -> None:
        self.add_class("-empty")

    def on_unmount(self) -> None:
        self.stop_scans()
        self.keep_draft()
        if self.document is not None:
            self.document.close()

    @property
    def rows(self) -> RowList:
        return self.query_one(RowList)

    @property
    def side(self) -> Side:
        return self.query_one(Side)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        allowed = self.pen_allows(action)
        if allowed is not None:
            return allowed
        if action in ("open", "model", "back"):
            return True
        if action in ("find_regex", "find_case"):
            return self.has_class("-finding")
        if action in ("undo", "redo", "save"):
            return self.document is not None
        if action == "side":
            return self.has_rows and not self.wide and not self.has_class("-reading")
        return self.has_rows

    def tell(self) -> None:
        """Title of the list and the status line."""
        document = self.document
        if document is None:
            return
        none = document.complete and not document.count
        self.set_class(none, "-empty")
        if none:
            what = f"{visible(document.name)} has no rows."
            keys = (("u", "take the last edit back"), *_KEYS) if document.unsaved else _KEYS
            self.query_one(EmptyState).update(empty_state(what, keys))
        title = line(document.name, "bold")
        count = (
            words.plural(document.count, "row")
            if document.complete
            else f"{document.count:,}+ rows"
        )
        title += Content.styled(f" · {count}", "$text-muted") + self.view_words()
        if self.selected:
            title += Content.styled(f" · {self.selected:,} marked ●", "$accent")
        if document.unsaved:
            edits = words.plural(document.unsaved, "unsaved edit")
            title += Content.styled(f" · {edits} ✎", "$accent")
        self.query_one("#list", Pane).title_is(title)
        self._tell_trouble(self.wrong or document.trouble)
        self.query_one("#head", Static).update(Content(self.rows.head), layout=False)
        self.tell_status()
        self.refresh_bindings()

    def _tell_trouble(self, trouble: str | None) -> None:
        """Say above the rows what is wrong with the file as a whole."""
        shown = self.query_one("#trouble", Static)
        shown.display = trouble is not None
        if trouble is not None:
            shown.update(Content.styled("✗ ", "$text-error bold") + line(trouble, limit=300))

    def tell_status(self) -> None:
        """The status line alone."""
        document = self.document
        if document is None:
            return
        scans = self.scan_words()
        if scans.plain:
            self.status = scans
        elif self.sought:
            # The count first: where there is little room, words are cut and not numbers.
            self.status = self.find_words() + Content.styled(" /", "$accent")
            self.status += line(self.sought, limit=30)
        elif not document.complete:
            self.status = Content.styled(f"reading {document.progress:.0%}", "$accent")
            if self.going is not None:
                self.status += Content.styled(f" → {self.going.words}", "$accent")
        elif document.unsaved:
            self.status = Content.styled("✎ not saved", "$accent")
        else:
            self.status = Content.styled("saved", "$text-muted")

    @property
    def parting(self) -> str:
        said = [self.pen_parting]
        if self.document is not None and self.document.unsaved:
            name = visible(self.document.name)
            edits = words.plural(self.document.unsaved, "unsaved edit")
            said.append(f"{edits} of {name} kept in the workspace.")
        if self.is_scanning(MAKING):
            said.append("Changes that are being made would be given up.")
        return "\n".join(filter(None, said))

    def action_back(self) -> None:
        """Leave what is open, then take off search, marks and views one by one."""
        if self.has_class("-finding"):
            self.leave_finding()
        elif self.has_class("-filtering"):
            self.leave_filter()
        elif self.has_class("-reading"):
            self.remove_class("-reading")
        elif not (self.stop_going() or self.stop_finding() or self.stop_looking() or self.unmark()):
            self.take_off()
        if self.document is not None:
            self.focus_on(self.rows)
            self.tell()
