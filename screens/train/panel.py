"""The live panel of a run: progress, loss, figures, sample answers, events.

Knows how one look at a run is laid out, narrow and wide. Does not read anything and starts
nothing: the room hands it a `Look`.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from screens.safe import line, text
from screens.train.figures import Figures
from screens.train.reading import Look, Pace
from screens.widgets import words
from screens.widgets.chart import LossChart
from screens.widgets.pane import Pane
from store.rundb import Event, Sample

EVENT_SIGNS = {"info": ("·", "$foreground 60%"), "warn": ("!", "$text-warning"),
               "error": ("✗", "$text-error")}  # fmt: skip


class Progress(Widget):
    """One line: state, bar, step, epoch, time left."""

    DEFAULT_CSS = "Progress { height: 1; }"
    look: reactive[Look | None] = reactive[Look | None](None)
    left: reactive[float | None] = reactive[float | None](None)
    """Seconds to the last step, None while unknown."""

    def render(self) -> Content:
        if self.look is None:
            return Content("")
        run = self.look.run
        state = words.state(run.status)
        facts = self._facts(self.look)
        if not run.total_steps or run.status not in words.ALIVE:
            return Content.assemble(state, "  ", facts)
        width = self.size.width - state.cell_length - facts.cell_length - 4
        middle = words.bar(run.step / run.total_steps, width) if width >= 6 else Content("")
        return Content.assemble(state, "  ", middle, "  ", facts)

    def _facts(self, look: Look) -> Content:
        run = look.run
        parts = []
        if run.total_steps:
            parts.append(f"step {run.step:,}/{run.total_steps:,}")
        if look.epoch is not None:
            parts.append(f"epoch {look.epoch:.1f}")
        if run.status == "queued":
            parts.append("waiting for the device")
        elif run.status == "running" and not run.total_steps:
            parts.append("getting ready: libraries, model and data are read")
        if self.left is not None:
            parts.append(f"ETA {words.duration(self.left)}")
        if run.finished is not None and run.started is not None:
            parts.append(f"took {words.duration(run.finished - run.started)}")
        if look.best is not None and run.status not in words.ALIVE:
            parts.append(f"best held out {look.best[1]:.3f} @{look.best[0]:,}")
        facts = Content.styled(" · ".join(parts), "$foreground 60%")
        if run.reason and run.status not in ("running", "queued"):
            facts = Content.assemble(line(run.reason, limit=160), "  ", facts)
            return facts.truncate(max(self.size.width - 12, 20), ellipsis=True)
        return facts


def probe_words(samples: Sequence[Sample], number: int) -> tuple[str, Content]:
    """Title and text of the `number`-th prompt's answers: A base above, B the newest below."""
    prompts = list(dict.fromkeys(sample.prompt for sample in samples))
    if not prompts:
        return "sample answers", Content.styled(
            "Answers of base and adapter appear here at every evaluation.", "$foreground 60%"
        )
    place = number % len(prompts)
    answers = [sample for sample in samples if sample.prompt == prompts[place]]
    base = next((sample for sample in answers if sample.model == "base"), None)
    newest = next((sample for sample in reversed(answers) if sample.model != "base"), None)
    lines = [Content.assemble(("› ", "$accent bold")) + text(prompts[place], limit=2000)]
    for sign, who, colour, sample in (
        ("A", "base", "$side-a", base),
        ("B", f"step {newest.step:,}" if newest else "adapter", "$side-b", newest),
    ):
        lines.append(Content.styled(f"{sign} {who}", f"{colour} bold"))
        lines.append(
            text(sample.text.strip() or "(nothing)", limit=4000)
            if sample
            else Content.styled("not answered yet", "$foreground 60%")
        )
    return f"sample answer {place + 1} of {len(prompts)}", Content("\n").join(lines)


def event_line(event: Event) -> Content:
    """Time, sign and words of one event."""
    sign, colour = EVENT_SIGNS.get(event.level, EVENT_SIGNS["info"])
    step = f"step {event.step:<6,} " if event.step is not None else ""
    return Content.assemble(
        (f"{words.clock(event.created)} ", "$foreground 60%"),
        (f"{sign} ", colour),
        (step, "$foreground 60%"),
    ) + line(event.text)


class RunPanel(Container):
    """Everything about one run; two panes carry weight, the third is called with a key."""

    def __init__(self) -> None:
        super().__init__(id="run-panel")
        self.look: Look | None = None
        self.pace = Pace()
        self.probe = 0
        self.log_shown = False
        self._said: object = None

    def compose(self) -> ComposeResult:
        with Pane(id="run-live"):
            yield Progress()
            with Container(id="run-plots"):
                yield LossChart("loss", empty="The loss appears here after the first step.")
                with Container(id="run-side"):
                    yield Figures()
                    with VerticalScroll(id="run-probes"):
                        yield Static(id="run-probe-words")
        with Pane(id="run-tail"), VerticalScroll(id="run-lines"):
            yield Static(id="run-words")

    def on_mount(self) -> None:
        for scroll in self.query(VerticalScroll):
            scroll.can_focus = False

    def show(self, look: Look) -> None:
        """Take over a new look; another run starts afresh."""
        if self.look is None or self.look.run.id != look.run.id:
            self.pace = Pace()
            self.probe = 0
            self.chart.reset()
        self.look = look
        self.pace.add(look.read, look.run.step)
        run = look.run
        data = run.dataset.rsplit("/", 1)[-1] + (f"@{run.snapshot[:4]}" if run.snapshot else "")
        named = [] if run.name == f"run {run.id}" else [run.name]
        title = [Content.styled(f"run {run.id}", "$accent bold")]
        title += [line(part, limit=40) for part in (*named, run.model.rsplit("/", 1)[-1], data)]
        self.query_one("#run-live", Pane).title_is(
            Content(" · ").join(title),
            line(run.note, "$foreground 60%", limit=100) if run.note else None,
        )
        self.query_one("#run-live").set_class(look.living, "-alive")
        with self.app.batch_update():
            progress = self.query_one(Progress)
            progress.look = look
            progress.left = self.pace.remaining(run, look.read)
            self.chart.show(look.curves, look.extent)
            self.query_one(Figures).readings = look.figures
            self._show_words()

    @property
    def chart(self) -> LossChart:
        return self.query_one(LossChart)

    def point(self, x: float | None) -> None:
        """Read every figure at a step, or where it stands."""
        self.query_one(Figures).at = None if x is None else round(x)

    def next_probe(self) -> None:
        """The following prompt; on a narrow screen the first press opens the answers."""
        if self.has_class("-probes") or self.app.size.width >= 100:
            self.probe += 1
        self.add_class("-probes")
        self._show_words()

    def close_probes(self) -> bool:
        """Leave the answers; False when they were not called."""
        called = self.has_class("-probes")
        self.remove_class("-probes")
        self._show_words()
        return called

    def toggle_log(self) -> None:
        """Events or log in the tail."""
        self.log_shown = not self.log_shown
        self._show_words()

    def _show_words(self) -> None:
        """The texts, touched only where they changed."""
        if self.look is None:
            return
        look = self.look
        key = (look.run.id, len(look.samples), self.probe, len(look.events), self.log_shown,
               look.log if self.log_shown else (), look.checkpoints)  # fmt: skip
        if key == self._said:
            return
        self._said = key
        title, words_ = probe_words(look.samples, self.probe)
        probes = self.query_one("#run-probes")
        probes.border_title = Content(title).markup
        self.query_one("#run-probe-words", Static).update(words_)
        tail = self.query_one("#run-tail", Pane)
        kept = ", ".join(f"{step:,}" for step in look.checkpoints[-6:])
        right = Content(f"checkpoints {kept}") if kept else Content("no checkpoint yet")
        if self.log_shown:
            tail.title_is(Content("log"), right)
            lines = [line(row, "$foreground 60%") for row in look.log] or [
                Content("The log is empty.")
            ]
        else:
            tail.title_is(Content("events"), right)
            lines = [event_line(event) for event in look.events[-200:]]
        scroll = self.query_one("#run-lines", VerticalScroll)
        at_end = scroll.scroll_y >= scroll.max_scroll_y - 1
        self.query_one("#run-words", Static).update(Content("\n").join(lines))
        if at_end:  # Whoever scrolled up is reading: leave them there.
            scroll.call_after_refresh(scroll.scroll_end, animate=False)
