"""What the Data room's worker threads post."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from engine.data.dataset import Changed, Dataset
    from engine.data.file.save import SaveReport
    from engine.render.renderer import Rendered, Renderer
    from screens.data.review import Proposal, Review
    from screens.data.rowlist import Count, Summary
    from screens.data.rowset import Rows
    from store.errors import Conflict


class Grown(Message):
    """More rows of the document are known; or `wrong`: why the file cannot be looked at."""

    def __init__(
        self, document: Dataset, complete: bool, wrong: str = "", *, anew: bool = False
    ) -> None:
        """Args: anew: rows known before may be others now."""
        super().__init__()
        self.wrong = wrong
        self.anew = anew
        self.document = document
        self.complete = complete


class Listed(Message):
    """Rows were read for the list."""

    def __init__(self, document: Dataset, known: dict[int, Summary]) -> None:
        super().__init__()
        self.document = document
        self.known = known


class Loaded(Message):
    """The renderer of the chosen model is ready; `max_length` is the default recipe's."""

    def __init__(self, ref: str, label: str, renderer: Renderer, max_length: int) -> None:
        super().__init__()
        self.ref = ref
        self.label = label
        self.renderer = renderer
        self.max_length = max_length


class Previewed(Message):
    """One row as training sees it; None with the reason where it cannot be rendered."""

    def __init__(self, number: int, rendered: Rendered | None, reason: str = "") -> None:
        super().__init__()
        self.number = number
        self.rendered = rendered
        self.reason = reason


class Counted(Message):
    """Tokens of rows that are on screen. `epoch`: of which state of the document."""

    def __init__(self, epoch: int, counts: dict[int, Count]) -> None:
        super().__init__()
        self.epoch = epoch
        self.counts = counts


class Sought(Message):
    """A search is over: the row, or None."""

    def __init__(self, what: str, number: int | None) -> None:
        super().__init__()
        self.what = what
        self.number = number


class Saved(Message):
    """The edits are in the file, or the file was changed underneath; or neither."""

    def __init__(
        self, path: Path, report: SaveReport | None, conflict: Conflict | None = None
    ) -> None:
        super().__init__()
        self.path = path
        self.report = report
        self.conflict = conflict


class Merged(Message):
    """Edits and a file that was changed underneath are together again."""

    def __init__(self, path: Path, gone: int, unsaved: int, unplaced: Sequence[Changed]) -> None:
        super().__init__()
        self.path = path
        self.gone = gone
        self.unsaved = unsaved
        self.unplaced = unplaced


class Differed(Message):
    """Some of the unsaved difference, for the window that shows it."""

    def __init__(
        self, window: Review, found: list[Proposal], *, complete: bool, note: str = ""
    ) -> None:
        super().__init__()
        self.note = note
        self.window = window
        self.found = found
        self.complete = complete


class ChangedMany(Message):
    """A worker made many changes in one step."""

    def __init__(self, path: str, label: str, rows: int) -> None:
        super().__init__()
        self.path = path
        self.label = label
        self.rows = rows


class Flagged(Message):
    """Which rows have findings, as they were numbered at a moment."""

    def __init__(self, document: Dataset, moment: int, errors: Rows, warnings: Rows) -> None:
        super().__init__()
        self.document = document
        self.moment = moment
        self.errors = errors
        self.warnings = warnings
