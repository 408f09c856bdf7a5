"""What the Runs room does with records: a report as a file, two runs weighed, one trained again.

Knows which keys ask for it and how the answer is shown. Does not judge or write: `engine.records`
does, in a thread.
"""

from __future__ import annotations

from pathlib import Path

from textual import on, work
from textual.content import Content
from textual.message import Message

from screens.runs.ledger import RunList
from screens.safe import line
from screens.widgets.chartkeys import ChartRoom
from screens.widgets.modals import LineModal


class Weighed(Message):
    """A worker held two runs side by side."""

    def __init__(self, pair: tuple[int, int], words: tuple[str, ...]) -> None:
        super().__init__()
        self.pair = pair
        self.words = words


class Reported(Message):
    """A worker wrote a report."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


class RecordsRoom(ChartRoom):
    """The actions `report`, `weigh` and `again`, for the room with the list of runs."""

    _weighed: Weighed | None = None

    @property
    def listing(self) -> RunList:
        """The runs."""
        return self.query_one(RunList)

    def action_report(self) -> None:
        if self.listing.current is None:
            return
        run_id = self.listing.current.run.id

        def named(text: str | None) -> None:
            if text is not None:
                self._write(run_id, Path(text).expanduser())

        modal = LineModal(
            f"Report of run {run_id}: a file that ends in .html or .md",
            value=str(Path.cwd() / f"run-{run_id}.html"),
            check=lambda text: None if text.strip() else "A file needs a name.",
        )
        self.app.push_screen(modal, named)

    @work(thread=True, exclusive=True, group="report", exit_on_error=False)
    def _write(self, run_id: int, path: Path) -> None:
        from engine.records import report

        html = path.suffix.lower() in (".html", ".htm")
        with self.open_catalogue() as cat:
            report.save(path, report.render(cat, run_id, "html" if html else "markdown"))
        self.post_message(Reported(path))

    @on(Reported)
    def _told(self, event: Reported) -> None:
        self.say(f"Written: {event.path}")

    def action_weigh(self) -> None:
        if len(self.listing.chosen) == 2:
            first, second = self.listing.chosen
            self._weigh((first, second))

    @work(thread=True, exclusive=True, group="weigh", exit_on_error=False)
    def _weigh(self, pair: tuple[int, int]) -> None:
        from engine.records.comparing import compare

        with self.open_catalogue() as cat:
            self.post_message(Weighed(pair, compare(cat, pair).words))

    @on(Weighed)
    def _keep_weighed(self, event: Weighed) -> None:
        self._weighed = event
        self.show_detail()

    def with_verdict(self, compared: Content) -> Content:
        """Two runs side by side, below what follows from them where that was asked."""
        if self._weighed is None or tuple(self.listing.chosen) != self._weighed.pair:
            return compared
        said = [line(words, limit=600) for words in self._weighed.words]
        head = Content.styled("what follows", "bold")
        return Content("\n").join([head, *said, Content(""), compared])

    def show_detail(self) -> None:
        """Show the run under the cursor, or the two that are compared."""
        raise NotImplementedError

    def action_again(self) -> None:
        if self.listing.current is not None:
            self._again_from_records(self.listing.current.run.id)

    @work(thread=True, exclusive=True, group="again", exit_on_error=False)
    def _again_from_records(self, run_id: int) -> None:
        from engine.records.reproducing import reproduce

        with self.open_catalogue() as cat:
            repeat = reproduce(cat, run_id)
        differ = "".join(f" Not as it was: {item.words}." for item in repeat.differing)
        self.app.call_from_thread(self.say, f"Run {repeat.run.id} repeats run {run_id}.{differ}")
        self.app.call_from_thread(self.shell.look_at_runs)
