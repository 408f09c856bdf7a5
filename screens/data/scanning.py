"""The part of the Data room that lets another process look through all rows.

Knows which scans run, and hears what they find ten times a second. Does not know what is looked
for. A scan shares nothing with the interface but the file and the journal, so no key waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.timer import Timer

from screens.data.selecting import Selecting

if TYPE_CHECKING:
    from engine.data.background.client import AnyEvent, Request, Scan
    from screens.data.rowset import Rows

POLL_SECONDS = 0.1
MAKING = "making"
"""The name of what changes rows; the others only look."""
Hear = Callable[["list[AnyEvent]"], None]


@dataclass(slots=True)
class Running:
    """One scan: who hears of it, what it is called, and how far it is."""

    scan: Scan
    hear: Hear
    words: str
    moment: int
    """The state of the document whose row numbers it tells."""
    progress: float = 0.0


class Scanning(Selecting):
    """Scans by name; starting one of the same name ends the one before."""

    def __init__(self) -> None:
        super().__init__()
        self._scans: dict[str, Running] = {}
        self._poll_timer: Timer | None = None

    def scan(self, name: str, request: Request, hear: Hear, words: str) -> None:
        """Start a scan of the document; `hear` gets what it finds, the end included."""
        from engine.data.background.client import Scan

        self.stop_scan(name)
        scan = Scan.start(self.workspace, str(self.open_document.path), request)
        self._scans[name] = Running(scan, hear, words, self.open_document.moment)
        if self._poll_timer is None:
            self._poll_timer = self.set_interval(POLL_SECONDS, self._poll)
        self.tell()

    def stop_scan(self, name: str) -> bool:
        """End a scan; False when none of that name runs."""
        running = self._scans.pop(name, None)
        if running is not None:
            running.scan.cancel()
        return running is not None

    def stop_scans(self) -> None:
        """End them all: the document goes."""
        for name in list(self._scans):
            self.stop_scan(name)

    def stop_newest(self) -> str:
        """End what was started last; its name, empty where nothing runs."""
        name = next(reversed(self._scans), "")
        if name == MAKING:
            self.say(f"{self._scans[name].words}: stopped, nothing was changed.")
        self.stop_scan(name)
        return name

    def rows_now(self, name: str, rows: Iterable[int]) -> Rows:
        """Row numbers that a scan told, as they are after what was edited since it began."""
        from screens.data.rowset import rows_of, shifted

        found = rows_of(rows)
        running, document = self._scans.get(name), self.open_document
        if running is None or running.moment == document.moment:
            return found
        return shifted(found, document.shift(running.moment))

    def is_scanning(self, name: str) -> bool:
        """Whether a scan of that name runs."""
        return name in self._scans

    def _poll(self) -> None:
        from engine.data.background.client import Done, Failed

        heard = over = False
        for name, running in list(self._scans.items()):
            events = running.scan.poll()
            if not events or self._scans.get(name) is not running:
                continue
            heard = True
            running.progress = max(event.progress for event in events)
            ended = isinstance(events[-1], Done | Failed)
            try:
                running.hear(events)
            finally:
                if ended and self._scans.get(name) is running:
                    del self._scans[name]
                    over = True
        if not self._scans and self._poll_timer is not None:
            self._poll_timer.stop()
            self._poll_timer = None
        if over:
            self.tell()
        elif heard:
            self.tell_status()

    def scan_words(self) -> Content:
        """What is looked for and how far that is, for the status line."""
        said = [f"{running.words} {running.progress:.0%}" for running in self._scans.values()]
        return Content.styled(" · ".join(said), "$accent")
