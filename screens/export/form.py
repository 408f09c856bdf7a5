"""The form that describes an export, and how large the file will be.

Knows the fields and how a plan is worded. Does not make plans and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from engine.export.plan import Plan
from engine.export.sizes import sizes
from engine.export.types import TYPES
from screens.safe import text
from screens.widgets import words
from screens.widgets.field import Cycle, FieldRow, Pick
from screens.widgets.pane import Pane
from screens.widgets.topline import short_path
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.exports import Kind

KINDS: tuple[Kind, ...] = ("gguf", "merged", "adapter")


@dataclass(frozen=True, slots=True)
class Wish:
    """An export as the form describes it; `out` None lets the engine choose a name."""

    ref: str
    to: Kind
    type: str
    out: Path | None


class ExportForm(Pane):
    """Model, form, type and name; below them what will be written."""

    busy: reactive[bool] = reactive(False)
    """Whether something is being written or proved, so that nothing else can be started."""

    class Changed(Message):
        """The wish is another one."""

    class Start(Message):
        """The button was pressed."""

    def __init__(self) -> None:
        super().__init__(id="export-form")
        self._model = Pick("model", "", "⏎ choose a run or checkpoint")
        self._to = Cycle(KINDS, "gguf")
        self._type = Pick("type", "f16", "")
        self._out = Input(compact=True)

    def compose(self) -> ComposeResult:
        yield FieldRow("model", self._model, "What to export.", classes="-broad")
        yield FieldRow("to", self._to, "For llama.cpp, for transformers, or for PEFT.")
        yield FieldRow("type", self._type, "f16 is the model itself; enter lists every type.")
        yield FieldRow("out", self._out, "Where to write.", classes="-broad")
        yield Static(id="export-plan")
        yield Button("▶ Export", id="export-start", compact=True)

    def on_mount(self) -> None:
        self.title_is(Content("new export"))

    @property
    def first(self) -> Widget:
        """Where the focus goes."""
        return self._model

    @property
    def wish(self) -> Wish:
        """What the form says now."""
        out = self._out.value.strip()
        to = next(kind for kind in KINDS if kind == self._to.value)
        return Wish(self._model.value, to, self._type.value, Path(out) if out else None)

    def fill(self, *, ref: str = "", type: str = "") -> None:
        """Choose the model or the type."""
        self._model.value = ref or self._model.value
        self._type.value = type or self._type.value
        self.post_message(self.Changed())

    def watch_busy(self, busy: bool) -> None:
        for button in self.query(Button):
            button.disabled = busy

    def show_plan(self, plan: Plan | None, error: WorkbenchError | None) -> None:
        """What would be written, or why it cannot be."""
        shown = Content("")
        if plan is not None:
            self._out.placeholder = short_path(plan.files[0].out)
            shown = Content.assemble(
                ("about ", "$foreground 60%"),
                (words.size(plan.bytes), "bold"),
                (f" of {plan.source.ref}, proved before it gets its name", "$foreground 60%"),
            )
        elif error is not None:
            shown = Content.assemble(("✗ ", "$text-error")) + text(error.message, "$text-error")
        self.query_one("#export-plan", Static).update(shown)

    @on(FieldRow.Left)
    def _left(self, event: FieldRow.Left) -> None:
        event.stop()
        if event.row.control is self._to and self._type.value not in TYPES[self._to.value]:
            self._type.value = next(iter(TYPES[self._to.value]))
        self.post_message(self.Changed())

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.post_message(self.Start())


def type_items(cat: Catalogue, ref: str, to: Kind) -> list[tuple[str, str]]:
    """The types of a kind of export; of a GGUF with their sizes and what is usually lost."""
    if to != "gguf":
        return [(name, name) for name in TYPES[to]]
    items = []
    for size in sizes(cat, ref):
        usual = size.type.usual
        lost = "fitted to your chats" if size.type.fitted else ""
        lost = f"usual KL {usual:.2g}" if usual else lost
        name = size.type.name
        items.append((name, f"{name:<8} {words.size(size.bytes):>9}  {lost}"))
    return items
