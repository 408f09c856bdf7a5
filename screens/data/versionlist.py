"""The versions of a dataset's file: when each was written, what it held, and whether it can come
back.

Knows what the document says of versions. Does not restore.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from screens.data.tables import TableModal, fitted
from screens.safe import line
from screens.widgets import words
from screens.widgets.linelist import Cells

if TYPE_CHECKING:
    from engine.data.dataset import VersionInfo


class VersionList(TableModal[int]):
    """Answers the id of the version to restore."""

    KEYS = "⏎ restore as one undoable edit  esc close"

    def __init__(self, versions: Sequence[VersionInfo]) -> None:
        super().__init__(Content(" versions "))
        self.versions = list(versions)

    def on_mount(self) -> None:
        super().on_mount()
        if not self.versions:
            self.summary_is(Content("No version is known yet: s saves one."))
            return
        self.summary_is(
            Content.styled("     when                    rows        size  hash", "$text-muted")
        )
        self.table.show(len(self.versions), self._cells)

    def _cells(self, index: int, width: int) -> Cells:
        version = self.versions[index]
        lead = "▸" if index == self.table.cursor else " "
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(version.created))
        said = f"  {when}  {version.rows:>9,}  {words.size(version.bytes):>10}  "
        mark, tone = ("✓", "good") if version.current else (" ", "plain")
        if version.current:
            state = "the file now"
        else:
            state = "" if version.restorable else f"✗ {version.why_not}"
        rest = width - len(said) - 4 - 14
        return (
            (f"{lead} ", "accent"),
            (mark, tone),
            (said, "plain" if version.restorable or version.current else "muted"),
            (f"{version.sha256.rpartition(':')[2][:12]}  ", "muted"),
            (fitted(state, rest), "muted" if version.restorable or version.current else "bad"),
        )

    def chosen(self, index: int) -> None:
        version = self.versions[index]
        if version.current:
            self.note_is(Content.styled("The file is this version.", "$text-muted"))
        elif not version.restorable:
            self.note_is(Content.styled("✗ ", "$text-error") + line(version.why_not))
        else:
            self.dismiss(version.id)
