"""The live panel of a run: progress, charts, figures, answers, what it means, what happened.

Knows how one look at a run is laid out, narrow and wide, and which view of it is shown. Does not
read anything and starts nothing: the room hands it a `Look`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from screens.safe import line
from screens.train.answers import AGAINST, AnswerPane, answers_at
from screens.train.figures import Figures, Reading, charted, figure_of
from screens.train.grid import ChartGrid, grid_metrics
from screens.train.happenings import sign_of
from screens.train.meaning import short_words
from screens.train.progress import Progress
from screens.train.reading import Look
from screens.train.suites import suite_words
from screens.widgets import words
from screens.widgets.chart import Chart
from screens.widgets.ink import run_colour
from screens.widgets.pane import Pane
from store.rundb import Event

View = Literal["overview", "grid", "full", "answers", "suites"]
VIEWS: tuple[View, ...] = ("overview", "grid", "full", "answers", "suites")
_KEYS: dict[View, str] = {
    "grid": "g more · esc back",
    "full": "↑ ↓ which · esc back",
    "answers": "p P prompt · ← → time · d differences · esc back",
    "suites": "← → time · esc back",
}
"""What the keys do in a view, the way out last."""
_TONES = {"quiet": "$foreground 60%", "good": "$text-success", "warn": "$text-warning",
          "bad": "$text-error"}  # fmt: skip


def event_line(event: Event) -> Content:
    """Time, sign and words of one event."""
    sign, ink = sign_of(event)
    step = f"step {event.step:<6,} " if event.step is not None else ""
    return Content.assemble(
        (f"{words.clock(event.created)} ", "$foreground 60%"),
        (f"{sign} ", _TONES[ink]),
        (step, "$foreground 60%"),
    ) + line(event.text)


class RunPanel(Container):
    """Everything about one run; what is not in the overview is called with a key."""

    view: reactive[View] = reactive[View]("overview")

    class Wanted(Message):
        """Something is shown for which the look has nothing yet."""

    def __init__(self) -> None:
        super().__init__(id="run-panel")
        self.look: Look | None = None
        self.prompt = 0
        self.log_shown = False
        self._said: dict[str, object] = {}

    def compose(self) -> ComposeResult:
        with Pane(id="run-live"):
            yield Progress()
            with Container(id="run-plots"):
                yield Chart("loss", empty="The loss appears here after the first step.")
                yield ChartGrid()
                yield AnswerPane(id="run-answers")
                with VerticalScroll(id="run-suites", can_focus=False):
                    yield Static(id="run-suite-words")
                with Container(id="run-side"):
                    yield Figures()
                    yield AnswerPane(id="run-probes")
        with Pane(id="run-meaning"):
            yield Static(id="run-meaning-words")
        with Pane(id="run-tail"), VerticalScroll(id="run-lines", can_focus=False):
            yield Static(id="run-words")

    def on_mount(self) -> None:
        self.query_one("#run-meaning", Pane).title_is(Content("what this means"))
        # At the end, whatever comes; whoever scrolled up is reading and stays there.
        self.query_one("#run-lines", VerticalScroll).anchor()
        self.watch_view()

    # -- which view --------------------------------------------------------------------------

    def watch_view(self) -> None:
        for name in VIEWS:
            self.set_class(self.view == name, f"-{name}")
        if self.is_mounted and self.look is not None:
            self._show_title(self.look)
            self._show_words()
            self.post_message(self.Wanted())

    def toggle(self, view: View) -> None:
        """Show a view, or the overview again."""
        self.view = "overview" if self.view == view else view

    def next_page(self) -> None:
        """The following page of small charts, after the last the overview."""
        grid = self.query_one(ChartGrid)
        if self.view != "grid":
            grid.page = 0
            self.view = "grid"
        elif grid.page + 1 < grid.pages:
            grid.page += 1
            self.post_message(self.Wanted())
        else:
            self.view = "overview"

    @property
    def grid_metrics(self) -> tuple[str, ...]:
        """The metrics that have a chart of their own, as far as is known."""
        return grid_metrics(self.look.metrics) if self.look is not None else ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics whose charts are on screen, the large one first."""
        grid = self.query_one(ChartGrid)
        return (self.metric, *grid.on_page) if self.view == "grid" else (self.metric,)

    @property
    def metric(self) -> str:
        """What the large chart shows."""
        return charted(self.figures.chosen)

    @property
    def figures(self) -> Figures:
        return self.query_one(Figures)

    @property
    def chart(self) -> Chart:
        return self.query_one("#run-plots > Chart", Chart)

    # -- a look ------------------------------------------------------------------------------

    def show(self, look: Look) -> None:
        """Take over a new look; another run starts afresh."""
        if self.look is None or self.look.run.id != look.run.id:
            self.prompt = 0
            self.chart.reset()
        self.look = look
        with self.app.batch_update():
            self._show_title(look)
            self.query_one(Progress).look = look
            self._show_charts(look)
            self._show_words()

    def _show_title(self, look: Look) -> None:
        """Which run this is; right of it its note, or the keys of the view and the way out."""
        run = look.run
        data = run.dataset.rsplit("/", 1)[-1] + (f"@{run.snapshot[:4]}" if run.snapshot else "")
        named = [] if run.name == f"run {run.id}" else [run.name]
        title = [Content.assemble(("● ", run_colour(run.id)), (f"run {run.id}", "$accent bold"))]
        title += [line(part, limit=40) for part in (*named, run.model.rsplit("/", 1)[-1], data)]
        right = line(run.note, "$foreground 60%", limit=100) if run.note else None
        if self.view in _KEYS:
            title = title if self.app.size.width >= 100 else title[:1]
            right = Content.styled(_KEYS[self.view], "$foreground 60%")
        live = self.query_one("#run-live", Pane)
        live.title_is(Content(" · ").join(title), right)
        live.set_class(look.living, "-alive")

    def _show_charts(self, look: Look) -> None:
        figure = figure_of(self.metric)
        chart = self.chart
        chart.title = figure.label + (f" · {figure.unit}" if figure.unit else "")
        chart.write = figure.write
        if self.view in ("overview", "full"):
            chart.show(look.curves.get(self.metric, ()), look.extent, look.marks)
        elif self.view == "grid":
            grid = self.query_one(ChartGrid)
            grid.fill(self.grid_metrics)
            chart.show(look.curves.get(self.metric, ()), look.extent, look.marks)
            grid.show(look.curves, look.extent, chart)
        shown = look.metrics
        self.figures.metrics = shown[: 10 if self.app.size.width < 100 else 14]
        self.figures.readings = _with_estimate(look)

    def point(self, x: float | None) -> None:
        """Read everything at a step, or where it stands."""
        self.figures.at = None if x is None else round(x)
        self._show_words()

    # -- answers -----------------------------------------------------------------------------

    def next_prompt(self, by: int = 1) -> None:
        """The following prompt; the first press opens the answers."""
        if self.view == "answers":
            self.prompt += by
            self._show_words()
        else:
            self.view = "answers"

    def step_answers(self, by: int) -> None:
        """The evaluation before or after the one whose answers are shown."""
        seen = self.query_one("#run-answers", AnswerPane).shown
        if seen is None or seen.now is None:
            return
        place = min(max(seen.steps.index(seen.now.step) + by, 0), len(seen.steps) - 1)
        newest = place == len(seen.steps) - 1
        self.chart.point(None if newest else seen.steps[place], exactly=True)

    def next_difference(self) -> None:
        """Underline what differs from the answer before, from the base's, or nothing."""
        for pane in self.query(AnswerPane):
            pane.against = AGAINST[(AGAINST.index(pane.against) + 1) % len(AGAINST)]

    def toggle_log(self) -> None:
        """Events or log in the tail."""
        self.log_shown = not self.log_shown
        self.set_class(self.log_shown, "-log")
        self._show_words()
        self.post_message(self.Wanted())

    def scroll_tail(self, direction: int) -> None:
        """Move through events or log, or through a long table of suites."""
        table = self.query_one("#run-suites", VerticalScroll)
        tail = self.query_one("#run-lines", VerticalScroll)
        scroll = table if self.view == "suites" and table.max_scroll_y else tail
        scroll.release_anchor()  # Until the end is reached again.
        scroll.scroll_relative(y=direction * max(scroll.size.height - 1, 1), animate=False)

    # -- words -------------------------------------------------------------------------------

    def _show_words(self) -> None:
        """The texts, each touched only where it changed: a text that changes costs a layout."""
        look, at = self.look, self.chart.cursor
        if look is None:
            return
        seen = answers_at(look.samples, self.prompt, at)
        wide = self.app.size.width >= 100
        if self._new("answers", (seen, self.view)):
            side = self.query_one("#run-probes", AnswerPane)
            side.shown = seen
            place = f"sample answer {seen.place + 1} of {seen.count}" if seen else "sample answers"
            side.border_title = Content(place).markup
            if self.view == "answers":
                self.query_one("#run-answers", AnswerPane).shown = seen
        if self.view == "suites":
            table = suite_words(look.suites, self.size.width - 4, at, look.run.best_step)
            self.query_one("#run-suite-words", Static).update(table)
        if self._new("meaning", (look.verdicts, wide)):
            self.query_one("#run-meaning").set_class(not look.verdicts, "-nothing")
            shown = short_words(look.verdicts or (), 4 if wide else 1)
            self.query_one("#run-meaning-words", Static).update(shown)
        kept = tuple(checkpoint.step for checkpoint in look.checkpoints)
        if self._new("tail", (look.run.id, len(look.events), self.log_shown, look.log, kept)):
            self._show_tail(look)

    def _new(self, part: str, value: object) -> bool:
        """Whether a part shows something else than before; it does from now on."""
        before = self._said.get(part)
        self._said[part] = value
        return before != value

    def _show_tail(self, look: Look) -> None:
        tail = self.query_one("#run-tail", Pane)
        kept = ", ".join(f"{checkpoint.step:,}" for checkpoint in look.checkpoints[-6:])
        right = Content(f"checkpoints {kept}") if kept else Content("no checkpoint yet")
        if self.log_shown:
            tail.title_is(Content("log"), right)
            lines = [line(row, "$foreground 60%") for row in look.log] or [
                Content("The log is empty.")
            ]
        else:
            tail.title_is(Content("events"), right)
            lines = [event_line(event) for event in look.events[-200:]]
        self.query_one("#run-words", Static).update(Content("\n").join(lines))


def _with_estimate(look: Look) -> dict[str, Reading]:
    """The readings, with what memory was expected to be beside what it is."""
    readings = dict(look.figures)
    expected = {fit.kind: fit.peak_bytes for fit in look.fits if fit.peak_bytes}
    memory = readings.get("memory_bytes")
    if memory is None or memory.value is None or "estimate" not in expected:
        return readings
    off = memory.value / expected["estimate"] - 1
    note = f"est. {expected['estimate'] / 1e9:.2f}  {off:+.0%}"
    readings["memory_bytes"] = replace(memory, note=note)
    return readings
