"""The part of the Data room that opens a file, reads on in it, and moves about.

Knows which document is open and where the cursor is. Finding the rest of the file is a worker's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.worker import get_current_worker

from screens.base import OpenFile, TrainOn, Visit
from screens.data.messages import Grown, Listed
from screens.data.rowlist import RowList, Summary, summary
from screens.data.searching import Searching
from screens.widgets import words
from screens.widgets.linelist import LineList
from store.errors import BadInput, Conflict, NotFound, WorkbenchError

if TYPE_CHECKING:
    from engine.data.dataset import Dataset

LOOK_SECONDS = 0.1
"""How long a worker looks further into a file before it tells."""
FOLLOW_SECONDS = 2.0
"""How often a file that is known whole is looked at again: one `stat`."""
Stamp = tuple[tuple[int, int, int], ...]
"""Inode, bytes and time of every file."""
SAMPLE = 100
"""Rows all over the file that are read to see whether it is mixed."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A place to go to: a row, or a share of all rows."""

    number: int = 0
    share: float | None = None

    @property
    def words(self) -> str:
        """The goal as it would be typed."""
        return f"{self.number:,}" if self.share is None else f"{self.share:.0%}"

    @classmethod
    def parse(cls, words: str, here: int) -> Goal | None:
        """Read `120000`, `120,000`, `50%`, `+100`, `-100`; None where it is none of these."""
        words = words.strip().replace(",", "").replace("_", "")
        step = words[:1] in ("+", "-")
        percent = words.endswith("%")
        try:
            value = float(words.rstrip("% "))
        except ValueError:
            return None
        if not abs(value) < 1e15:
            return None
        if percent:
            return cls(share=min(max(value / 100, 0.0), 1.0))
        return cls(number=max(1, int(here + value if step else value)))


class Browsing(Searching):
    """Opening, growing, and the keys that move the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong = ""
        """Why the file cannot be looked at any more; empty while it can."""
        self._stamp: Stamp = ()
        """What was seen of the files when they were last looked at."""
        self.going: Goal | None = None
        """Where to go once that much of the file is known."""

    def on_mount(self) -> None:
        self.set_interval(FOLLOW_SECONDS, self._follow)

    def _follow(self) -> None:
        """Notice what happened to the file and the journal, while the room is on screen."""
        document = self.document
        if document is None or not self.is_current:
            return
        self._catch_up(document)
        if document.complete:
            self._look_for_more(document, document.size)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        super().on_screen_resume(event)
        if self.document is not None:
            self._catch_up(self.document)

    def _catch_up(self, document: Dataset) -> None:
        """Show the edits of another room or program, which are in the journal."""
        from engine.data.dataset import Several

        files = document.files if isinstance(document, Several) else [document]
        if self.under_pen is not None or all(file.in_step() for file in files):
            return
        try:
            with document.writing():  # which begins with it
                pass
        except (Conflict, NotFound):
            return  # who looks at the file says so
        self.changed(self.rows.number if self.rows.count and document.count else None)

    @work(thread=True, exclusive=True, group="follow", exit_on_error=False)
    def _look_for_more(self, document: Dataset, size: int) -> None:
        wrong, complete, before = "", True, self._stamp
        self._stamp = _stamp(document)
        try:
            complete = document.grow(seconds=LOOK_SECONDS)
        except Conflict as conflict:
            wrong = f"{conflict.message}; s asks which of the two to keep"
        except WorkbenchError as error:
            wrong = error.message
        except OSError as error:
            wrong = f"it cannot be looked at ({error.strerror})"
        except ValueError:
            return  # it was closed meanwhile
        other = self._stamp != before
        if other or not complete or document.size != size or bool(wrong) != bool(self.wrong):
            anew = other and not wrong and not _longer(before, self._stamp)
            self.post_message(Grown(document, complete, wrong, anew=anew))

    # Opening

    def receive(self, visit: Visit) -> None:
        """Open the file that was handed over."""
        if isinstance(visit, OpenFile):
            self.open_file(visit.path, visit.row or 1)

    def open_file(self, path: Path | str, number: int = 1, *, force: bool = False) -> None:
        """Show a file, its first rows at once.

        Raises:
            NotFound, BadInput: there is no such file, or it cannot be read.
        """
        from engine.data.dataset import open_dataset

        try:
            document = open_dataset(self.catalogue, path, force=force)
        except Conflict as conflict:
            self.ask_about(conflict, Path(path))
            return
        self._show_document(document, number)

    def ask_about(self, conflict: Conflict, path: Path) -> None:
        """The file was changed underneath: let the person choose."""
        raise NotImplementedError

    def _show_document(self, document: Dataset, number: int) -> None:
        """Put a document in place of the one that was open."""
        self.lay_down_pen()
        for group in ("grow", "list", "diff"):
            self.workers.cancel_group(self, group)
        if self.document is not None:
            self.document.close()
        self.document = document
        self.forget_views()
        self.forget_marks()
        self.going = None
        self.wrong, self._stamp = "", _stamp(document)
        document.grow(seconds=LOOK_SECONDS / 2)
        self.stop_scans()
        self.stop_finding()
        self.remove_class("-empty", "-reading", "-finding", "-filtering")
        self.side.forget_tokens()
        self.rows.show(document)
        self.jump(number)
        self.focus_on(self.rows)
        self.forget_tokens()
        self.show_row()
        self.load_renderer()
        self.opened()
        if not document.complete:
            self._grow(document)
        self.tell()

    @work(thread=True, exclusive=True, group="grow", exit_on_error=False)
    def _grow(self, document: Dataset) -> None:
        worker = get_current_worker()
        complete = False
        while not complete and not worker.is_cancelled:
            complete = document.grow(seconds=LOOK_SECONDS)
            self.post_message(Grown(document, complete))
        if not worker.is_cancelled:
            self.post_message(Listed(document, _sample(document)))

    @on(Grown)
    def _grown(self, event: Grown) -> None:
        """More rows are known; who stands at the last one of a complete file stays there."""
        document = event.document
        if document is not self.document:
            return
        self.wrong = event.wrong.removeprefix(f"{document.path}: ")
        if event.anew:
            self.rows.errors = self.rows.warnings = None
            self.changed(self.rows.number)
        elif event.complete and not event.wrong:  # rows seen before it went wrong stay readable
            self.rows.forget_rows()
        if self.rows.count > document.count:
            self.rows.forget_rows()
        if self.rows.order is None:
            follow = document.complete and self.rows.cursor == self.rows.count - 1 > 0
            self.rows.count = document.count
            if follow:
                self.rows.action_bottom()
        self._go_on()
        self.tell()

    @on(RowList.Mixed)
    def _columns_changed(self) -> None:
        self.tell()

    # Reading what a frame had no time for

    @on(RowList.Wanted)
    def _wanted(self, event: RowList.Wanted) -> None:
        self._list(self.open_document, event.numbers)

    @work(thread=True, exclusive=True, group="list", exit_on_error=False)
    def _list(self, document: Dataset, numbers: Iterable[int]) -> None:
        """Read rows, those on screen first; tell after every moment."""
        worker = get_current_worker()
        known: dict[int, Summary] = {}
        told = time.monotonic()
        for number in numbers:
            if worker.is_cancelled:
                break
            if number <= document.count:
                known[number] = summary(document.row(number))
            if time.monotonic() - told > LOOK_SECONDS:
                self.post_message(Listed(document, known))
                known, told = {}, time.monotonic()
        self.post_message(Listed(document, known))

    @on(Listed)
    def _listed(self, event: Listed) -> None:
        if event.document is self.document and event.known:
            self.rows.learn(event.known)
            self.tell()

    def action_open(self) -> None:
        from screens.data import opening

        def chosen(value: str | None) -> None:
            if value is None:
                return
            try:
                path = opening.locate(self.workspace, value)
            except OSError as error:
                raise BadInput(
                    f"{value}: cannot be copied into the workspace ({error.strerror})",
                    "Make room, or open a file of your own.",
                ) from error
            self.open_file(path)

        self.app.push_screen(
            opening.OpenModal(opening.choices(self.catalogue)),
            self.guarded(chosen),
        )

    # Moving

    def jump(self, number: int) -> None:
        self.rows.cursor = self.rows.place_of(number)

    def action_jump(self) -> None:
        from screens.widgets.modals import LineModal

        def chosen(words: str | None) -> None:
            if words is not None:
                self.going = Goal.parse(words, self.rows.number)
                self._go_on()
                self.tell()

        modal = LineModal(
            f"Go to · row {self.rows.number:,} of {self.rows.count:,}",
            placeholder="120000, 50%, +100, -100",
            check=lambda words: None if Goal.parse(words, 1) else
            "expected a row number, a share as 50%, or a step as +100",
        )  # fmt: skip
        self.app.push_screen(modal, self.guarded(chosen))

    def _go_on(self) -> None:
        """Go where the person wanted to, as soon as that row is known."""
        goal, document = self.going, self.document
        if goal is None or document is None:
            return
        if goal.share is not None and self.rows.order is not None:
            self.rows.cursor = round(goal.share * (self.rows.count - 1))
        elif goal.share is not None:
            if not document.complete and document.progress < goal.share:
                return
            share = goal.share / document.progress if document.progress else 0.0
            self.rows.cursor = round(share * (self.rows.count - 1))
        elif goal.number > document.count and not document.complete:
            return
        else:
            self.jump(goal.number)
        self.going = None

    def stop_going(self) -> bool:
        """Stay here; False when there was nowhere to go."""
        was, self.going = self.going, None
        return was is not None

    @on(LineList.Chosen)
    def action_side(self) -> None:
        """On a narrow screen the row takes the place of the list."""
        self.add_class("-reading")
        self.focus_on(self.side.scroller)

    def action_goto(self) -> None:
        self.rows.action_top()

    def action_bottom(self) -> None:
        self.rows.action_bottom()

    def action_down(self) -> None:
        self.rows.move(1)

    def action_up(self) -> None:
        self.rows.move(-1)

    def action_half_down(self) -> None:
        self.rows.half_page(1)

    def action_half_up(self) -> None:
        self.rows.half_page(-1)

    def action_copy(self) -> None:
        self.copy(self.open_document.raw(self.rows.number).decode("utf-8", "replace"))

    def action_train(self) -> None:
        """Hand the file to the Train room."""
        document = self.open_document
        if document.unsaved:
            self.say(f"{words.plural(document.unsaved, 'edit')} not saved yet: s saves.")
        self.shell.visit(TrainOn(str(document.path)))


def _stamp(document: Dataset) -> Stamp:
    """Which files these are, and when they were written; a file that is gone is all zeros."""
    from engine.data.dataset import Several

    found: list[tuple[int, int, int]] = []
    for file in document.files if isinstance(document, Several) else [document]:
        try:
            seen = os.stat(file.path)
            found.append((seen.st_ino, seen.st_size, seen.st_mtime_ns))
        except OSError:
            found.append((0, 0, 0))
    return tuple(found)


def _longer(before: Stamp, now: Stamp) -> bool:
    """Whether the same files have only become longer, so that their rows are taken as they were."""
    return all(a == b or (a[0] == b[0] and a[1] < b[1]) for a, b in zip(before, now, strict=True))


def _sample(document: Dataset) -> dict[int, Summary]:
    """Rows spread over the whole document."""
    step = max(1, document.count // SAMPLE)
    return {n: summary(document.row(n)) for n in range(1, document.count + 1, step)}
