"""Every run as one line, and two of them against each other.

Knows what of a run is worth a column and how two recipes differ. Does not know widgets' keys or
how a run is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.content import Content

from engine.train import client
from engine.train.recipe import RECIPE_FIELDS
from screens.safe import line, visible
from screens.theme import RUN_COLOURS
from screens.train.form import as_text
from screens.train.reading import curve, stamp
from screens.widgets import words
from screens.widgets.braille import Curve
from screens.widgets.ink import run_colour, run_ink
from screens.widgets.linelist import Cells, LineList
from screens.widgets.sparkline import sparkline
from store.catalogue import Catalogue
from store.rundb import Series
from store.runs import Run

TREND = 24
"""Values of a run's sparkline."""
POINTS = 600
"""Buckets of a run's curve in the comparison."""
USUAL = ("learning_rate", "r", "lora_alpha", "max_steps", "max_length")
"""Settings shown of a run that is compared with nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """A run with what its own database adds to the catalogue's row."""

    run: Run
    trend: tuple[float | None, ...]
    best: float | None
    """Lowest held-out loss of a checkpoint."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """All runs, newest first, as they stood at one moment; `curves` holds the wanted ones."""

    lines: tuple[Line, ...]
    curves: Mapping[int, tuple[Curve, ...]]

    @property
    def living(self) -> bool:
        """Whether looking again may show something new."""
        return any(item.run.status in words.ALIVE for item in self.lines)


class LedgerReader:
    """Reads the ledger again and again; a run that wrote nothing since is not opened again."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, Line]] = {}

    def read(self, cat: Catalogue, wanted: Sequence[tuple[int, str]]) -> Ledger:
        """Every run's trend, and the curves of the wanted ones.

        Args:
            wanted: run ids with the style that each curve takes.
        """
        lines = []
        curves: dict[int, tuple[Curve, ...]] = {}
        for run in client.refresh(cat):
            seen = stamp([cat.workspace.run_dir(run.id)])
            known = self._known.get(run.id)
            styles = [style for run_id, style in wanted if run_id == run.id]
            if known is not None and known[0] == seen and not styles:
                lines.append(replace(known[1], run=run))
                continue
            with client.reader(cat, run.id) as reader:
                trend = reader.series("loss", points=TREND * 2).means
                measured = [c.eval_loss for c in reader.checkpoints() if c.eval_loss is not None]
                lines.append(Line(run, trend, min(measured, default=None)))
                self._known[run.id] = (seen, lines[-1])
                for style in styles:
                    held = reader.series("eval_loss", points=POINTS)
                    loss = reader.series("loss", points=POINTS)
                    curves[run.id] = _curves(run, style, loss, held)
        return Ledger(tuple(lines), curves)


def _curves(run: Run, style: str, loss: Series, held: Series) -> tuple[Curve, ...]:
    """Training loss as a line, held-out loss as marks of the same colour."""
    side = {"side-a": "A ", "side-b": "B "}.get(style)
    name = "train" if side is None else f"{side}run {run.id}"
    return (curve(loss, name, style), curve(held, "held out", style, "○"))


def status_words(run: Run) -> tuple[str, str]:
    """Sign, word and place of a run, and its tone."""
    sign = words.STATES[run.status][0]
    tone = {"✓": "good", "✗": "bad", "▶": "accent", "◌": "muted"}.get(sign, "warn")
    if run.status == "running" and run.reason:
        return f"! silent @{run.step:,}", "warn"
    if run.status == "running" and run.total_steps:
        return f"{sign} {run.step:,}/{run.total_steps:,}", tone
    if run.status in ("stopped", "paused", "failed", "lost") and run.step:
        return f"{sign} {run.status} @{run.step:,}", tone
    return f"{sign} {run.status}", tone


def _fitted(value: str, width: int) -> str:
    value = visible(value)
    return (value if len(value) <= width else value[: width - 1] + "…").ljust(width)


@dataclass(frozen=True, slots=True)
class Widths:
    """Cells of the columns whose width follows the screen's."""

    name: int
    model: int
    data: int
    trend: int
    why: int = 0

    FIXED: ClassVar[int] = 3 + 4 + 9 + 8 + 16 + 4

    @classmethod
    def of(cls, width: int) -> Widths:
        free = max(width - cls.FIXED, 20)
        if free < 50:
            return cls(free - 22 if free > 34 else 12, 0, 12, max(min(free - 24, 8), 0))
        why = min(free // 3, 40) if free >= 80 else 0
        free -= why
        trend = min(free // 4, TREND)
        model = min((free - trend) // 4, 16)
        data = min((free - trend) // 3, 26)
        return cls(min(free - trend - model - data, 40), model, data, trend, why)


def heading(width: int) -> Content:
    """The names of the columns."""
    wide = Widths.of(width)
    columns = [
        " " * 3, "id".rjust(3) + " ", "name".ljust(wide.name + 1),
        "model".ljust(wide.model + 1) if wide.model else "",
        "data".ljust(wide.data + 1), "loss".rjust(8) + " ", "best".rjust(7) + " ",
        "state".ljust(16),
        ("loss over steps" if wide.trend > 14 else "trend" * (wide.trend > 5)).ljust(wide.trend),
        "  why it ended, or its note" if wide.why else "",
    ]  # fmt: skip
    return Content.styled("".join(columns), "$foreground 60%")


_RUN_INKS = tuple(f"line--{run_ink(slot)}" for slot in range(len(RUN_COLOURS)))
_RUN_CSS = "\n".join(
    f"& > .{ink} {{ color: {run_colour(slot)}; }}" for slot, ink in enumerate(_RUN_INKS)
)


class RunList(LineList):
    """The runs, each with its colour; A and B are marked in its place."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"line--side-a", "line--side-b", *_RUN_INKS}
    DEFAULT_CSS = f"""
    RunList {{
        & > .line--side-a {{ color: $side-a; text-style: bold; }}
        & > .line--side-b {{ color: $side-b; text-style: bold; }}
        {_RUN_CSS}
    }}
    """

    def __init__(self) -> None:
        super().__init__(widget_id="run-list")
        self.lines: tuple[Line, ...] = ()
        self.chosen: list[int] = []

    def show(self, lines: Sequence[Line]) -> None:
        """Take over new lines; the cursor stays on its run."""
        at = self.current
        self.lines = tuple(lines)
        self.count = len(lines)
        places = [place for place, item in enumerate(lines) if at and item.run.id == at.run.id]
        if places:
            self.cursor = places[0]
        self.forget()

    @property
    def current(self) -> Line | None:
        """The run under the cursor."""
        return self.lines[self.cursor] if self.cursor < len(self.lines) else None

    def side(self, run_id: int) -> str:
        """`A`, `B` or nothing."""
        return "AB"[self.chosen.index(run_id)] if run_id in self.chosen else ""

    def cells(self, index: int, width: int) -> Cells:
        item = self.lines[index]
        run = item.run
        wide = Widths.of(width)
        side = self.side(run.id)
        state, tone = status_words(run)
        data = run.dataset.rsplit("/", 1)[-1].removesuffix(".jsonl")
        data += f"@{run.snapshot[:4]}" if run.snapshot else ""
        loss = "–" if not run.step else "NaN" if run.loss is None else f"{run.loss:.3f}"
        best = f"@{run.best_step:,}" if run.best_step is not None else "–"
        if run.promoted_step is not None:
            best = f"●@{run.promoted_step:,}"
        cells = [
            (f" {side or '●'} ", f"side-{side.lower()}" if side else run_ink(run.id)),
            (f"{run.id:>3} ", "muted"),
            (_fitted(run.name, wide.name) + " ", "plain"),
        ]
        if wide.model:
            cells.append((_fitted(run.model.rsplit("/", 1)[-1], wide.model) + " ", "muted"))
        return [
            *cells,
            (_fitted(data, wide.data) + " ", "muted"),
            (f"{loss:>8} ", "bad" if loss == "NaN" else "plain"),
            (f"{best:>7} ", "plain"),
            (_fitted(state, 15) + " ", tone),
            (sparkline(item.trend, wide.trend).ljust(wide.trend), run_ink(run.id)),
            (f"  {_fitted(run.reason or run.note, wide.why - 2)}" if wide.why else "",
             tone if run.reason and (tone == "bad" or run.status == "running") else "muted"),
        ]  # fmt: skip


def differences(a: Run, b: Run) -> list[tuple[str, str, str]]:
    """(name, A, B) of every setting in which two runs differ; then data and model."""
    found = [
        (name, x, y)
        for name, x, y in (
            ("dataset", a.dataset.rsplit("/", 1)[-1], b.dataset.rsplit("/", 1)[-1]),
            ("snapshot", (a.snapshot or "–")[:8], (b.snapshot or "–")[:8]),
            ("model", a.model, b.model),
        )
        if x != y
    ]
    for field in RECIPE_FIELDS:
        x, y = (as_text(run.recipe.get(field.name, field.default)) for run in (a, b))
        if x != y:
            found.append((field.name, x, y))
    return found


def compare_words(a: Line, b: Line) -> Content:
    """Two runs side by side: results first, then what was set differently."""

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    rows = [
        ("run", str(a.run.id), str(b.run.id)),
        ("name", a.run.name, b.run.name),
        ("loss", number(a.run.loss), number(b.run.loss)),
        ("best held out", number(a.best), number(b.best)),
        ("steps", f"{a.run.step:,}", f"{b.run.step:,}"),
    ]
    differ = differences(a.run, b.run)
    label = min(max(len(name) for name, *_ in rows + differ) + 2, 24)
    column = 14
    lines = [
        Content.assemble(
            (" " * label, ""), ("A".ljust(column), "$side-a bold"), ("B", "$side-b bold")
        )
    ]
    for part in (rows, differ):
        if part is differ:
            said = "set differently" if differ else "every setting is the same"
            lines += [Content(""), Content.styled(said, "bold")]
        for name, x, y in part:
            lines.append(
                Content.styled(_fitted(name, label), "$foreground 60%")
                + Content(_fitted(x, column - 1) + " ")
                + Content(_fitted(y, column))
            )
    return Content("\n").join(lines)


def run_words(item: Line) -> Content:
    """One run's facts: what came of it, what was set, what was noted."""
    run = item.run
    lines = []
    if run.note:
        lines += [line(run.note, "italic", limit=400), Content("")]
    if run.reason:
        bad = run.status in ("failed", "lost")
        tone = "$text-error" if bad else "$foreground 60%"
        lines += [line(run.reason, tone, limit=400), Content("")]
    facts = [("created", words.age(words.now() - run.created))]
    if run.started is not None and run.finished is not None:
        facts.append(("took", words.duration(run.finished - run.started)))
    if item.best is not None:
        facts.append(("best held out", f"{item.best:.3f} @{run.best_step}"))
    if run.promoted_step is not None:
        facts.append(("promoted", f"●@{run.promoted_step:,} (chat, export)"))
    facts += [(name, as_text(run.recipe[name])) for name in USUAL if name in run.recipe]
    lines += [
        Content.styled(_fitted(name, 16), "$foreground 60%") + Content(visible(value))
        for name, value in facts
    ]
    return Content("\n").join(lines)
