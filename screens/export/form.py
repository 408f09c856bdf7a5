"""The form that describes an export: model, kind, machine, weights, name, and the types to tick.

Knows the fields and how an outlook is worded. Does not look anything up and writes nothing.
"""

from __future__ import annotations

from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from screens.export.choices import about_type, points_of, total_words
from screens.export.looking import LLAMA, Outlook, Wish
from screens.export.picture import picture
from screens.export.typelist import TypeList
from screens.safe import line, visible
from screens.widgets.field import Cycle, FieldRow, Pick
from screens.widgets.pane import Pane
from screens.widgets.topline import short_path
from store.errors import WorkbenchError
from store.exports import Kind

KINDS: dict[Kind, str] = {
    "gguf": "one file for llama.cpp, LM Studio, Jan and so on",
    "ollama": "a folder for ollama create, its template checked",
    "merged": "safetensors for transformers and vLLM",
    "adapter": "the LoRA alone, for PEFT and vLLM",
    "adapter-gguf": "the LoRA alone, for llama.cpp on a GGUF base",
}
"""Each kind of export, and what it is for."""
PARTS: tuple[Kind, ...] = ("gguf", "merged")
"""What can be divided into parts."""
MERGES = {
    "faithful": "as training held it: what you chatted with",
    "original": "its own weights: not quite what was trained",
}


class ExportForm(Pane):
    """The fields, below them the types, below these what will be written."""

    busy: reactive[bool] = reactive(False)
    """Whether something is being written or proved, so that nothing else can be started."""

    class Changed(Message):
        """The wish is another one."""

    class Start(Message):
        """The button was pressed."""

    def __init__(self) -> None:
        super().__init__(id="export-form")
        self._model = Pick("model", "", "⏎ choose a run or checkpoint")
        self._to = Cycle(tuple(KINDS), "gguf")
        self._memory = Input("8 GB", compact=True, select_on_focus=False)
        self._held = Input("4,096", compact=True, select_on_focus=False)
        self._merge = Cycle(tuple(MERGES), "faithful")
        self._shard = Input(placeholder="one file", compact=True, select_on_focus=False)
        self._llama_cpp = Input(placeholder="Workbench", compact=True, select_on_focus=False)
        self._out = Input(compact=True, select_on_focus=False)
        self._label = ""
        self._known: tuple[str, str] | None = None
        self.outlook: Outlook | None = None

    def compose(self) -> ComposeResult:
        yield FieldRow("model", self._model, "")
        yield FieldRow("to", self._to, KINDS["gguf"])
        yield FieldRow("memory", self._memory, "of the machine that shall run it",
                       classes="-llama")  # fmt: skip
        yield FieldRow("context", self._held, "tokens to be held at once", classes="-llama")
        yield FieldRow("base", self._merge, MERGES["faithful"], classes="-merge")
        yield FieldRow("parts", self._shard, "or the size of a part, as 4 GB",
                       classes="-more -parts")  # fmt: skip
        yield FieldRow("made by", self._llama_cpp, "or a folder of llama.cpp: by its converter",
                       classes="-more -with")  # fmt: skip
        yield FieldRow("out", self._out, "", classes="-broad")
        yield Static(id="type-heading")
        yield TypeList()
        yield Static(id="export-plan")
        yield Button("▶ Export", id="export-start", compact=True)

    def on_mount(self) -> None:
        self.title_is(Content("new export"))
        self.show(None, None)

    @property
    def types(self) -> TypeList:
        return self.query_one(TypeList)

    @property
    def first(self) -> Widget:
        """Where the focus goes."""
        return self.types if self._model.value else self._model

    @property
    def wish(self) -> Wish:
        """What the form says now."""
        out, other = self._out.value.strip(), self._llama_cpp.value.strip()
        to = next(kind for kind in KINDS if kind == self._to.value)
        return Wish(
            self._model.value, to, () if self.types.advised else self.types.ticked,
            "original" if self._merge.value == "original" and self.outlook and self.outlook.nf4
            else "faithful",
            Path(out) if out else None,
            self._memory.value.strip() if to in LLAMA else "", self._held.value.strip(),
            self._shard.value.strip() if to in PARTS else "",
            Path(other).expanduser() if other and to in LLAMA else None,
        )  # fmt: skip

    @property
    def divisible(self) -> bool:
        """Whether there is more to say of this kind of export."""
        return self._to.value in (*PARTS, *LLAMA)

    def toggle_more(self) -> None:
        """Show what is seldom asked for, or hide it; what it says counts all the same."""
        self.toggle_class("-asked")
        self.call_after_refresh(self.fit_types)

    def fill(self, *, ref: str, label: str = "") -> None:
        """Choose the model; the types are left to the advice again."""
        self._model.value = ref
        self._label = label
        self.types.untick()
        self.post_message(self.Changed())

    def watch_busy(self, busy: bool) -> None:
        for button in self.query(Button):
            button.disabled = busy

    # -- what is known of the wish -----------------------------------------------------------

    def show(self, outlook: Outlook | None, error: WorkbenchError | None) -> None:
        """What there is to choose from; on an error the types stay as they were last."""
        self.outlook = outlook
        if error is not None and self._known != (self.wish.ref, self.wish.to):
            self.types.show((), "")  # what was known is of another model
        if outlook is not None:
            self._known = (outlook.wish.ref, outlook.wish.to)
            self.types.show(outlook.offers, outlook.best)
            self.set_class(outlook.nf4, "-nf4")
            heading = self.types.heading(outlook.context)
            self.query_one("#type-heading", Static).update(Content(heading))
            if outlook.plan is not None:
                files = outlook.plan.files
                one = files[0].out if len(files) == 1 else files[0].out.parent
                self._out.placeholder = short_path(one) + ("/" if len(files) > 1 else "")
        self.set_class(self._to.value in LLAMA, "-runs")
        self.set_class(self._to.value in PARTS, "-divides")
        self._explain()
        self._show_plan(outlook, error)
        self.call_after_refresh(self.fit_types)

    def _show_plan(self, outlook: Outlook | None, error: WorkbenchError | None) -> None:
        """How much will be written, or why nothing can be."""
        refused = error or (outlook.error if outlook else None)
        shown = Content.styled("…", "$foreground 60%")
        if refused is not None:
            shown = Content.assemble(("✗ ", "$text-error bold")) + line(refused.message)
            shown += Content("\n  ") + line(refused.hint, "$foreground 60%")
        elif not self.types.ticked and outlook is not None:
            why = "" if outlook.best else f"{outlook.reason}; or "
            shown = Content.assemble(("! ", "$text-warning"), f"{why}tick a type with space")
        elif outlook is not None:
            shown = total_words(outlook)
        self.query_one("#export-plan", Static).update(shown)
        count = len(self.types.ticked)
        noun = "file" if self._to.value in ("gguf", "adapter-gguf") else "folder"
        wanted = f"Export {count} {noun}s, each proved" if count > 1 else f"Export 1 {noun}"
        if refused is not None or not count:
            wanted = "Export"
        self.query_one("#export-start", Button).label = Content(f"▶ {wanted}")

    def on_resize(self) -> None:
        self.fit_types()

    def fit_types(self) -> None:
        """Let the list be as long as it is, but leave room for what stands around it."""
        around = sum(
            child.outer_size.height + child.styles.margin.height
            for child in self.children
            if child is not self.types and child.display
        )
        self.types.styles.max_height = max(self.size.height - around, 3)

    def _explain(self) -> None:
        """The words beside kind and weights follow their values."""
        for row in self.query(FieldRow):
            if row.field == "to":
                row.help_words = next(w for kind, w in KINDS.items() if kind == self._to.value)
            elif row.field == "model":
                row.help_words = visible(self._label)
            elif row.field == "context":
                row.help_words = self._about_context()
            elif row.field == "base":
                row.help_words = MERGES[self._merge.value]
            row.explain()

    def _about_context(self) -> str:
        held = self.outlook.context if self.outlook else 0
        asked = self._held.value.replace(",", "").strip()
        less = held and asked.isdigit() and held < int(asked)
        return f"{held:,} tokens are all that this model holds" if less else "tokens held at once"

    @on(FieldRow.Left)
    def _left(self, event: FieldRow.Left) -> None:
        event.stop()
        if self.outlook is None or self.wish != self.outlook.wish:
            self._explain()
            self.post_message(self.Changed())

    @on(TypeList.Ticked)
    def _ticked(self, event: TypeList.Ticked) -> None:
        event.stop()
        self.post_message(self.Changed())

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.post_message(self.Start())


class AboutPane(Pane):
    """Beside the form, where there is room: the type under the cursor in full, and the plot."""

    def __init__(self) -> None:
        super().__init__(id="about-pane")

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="about-scroll", can_focus=False):
            yield Static(id="about-words")
        yield Static(id="about-picture")

    def show(self, types: TypeList, outlook: Outlook | None) -> None:
        """What is known of one type, and where it lies among the others."""
        offer = types.current
        if outlook is None or offer is None:
            return
        self.title_is(Content(offer.type.name))
        self.query_one("#about-words", Static).update(about_type(offer, outlook))
        self.query_one("#about-picture", Static).update(self._picture(types, outlook))

    def _picture(self, types: TypeList, outlook: Outlook) -> Content:
        points = points_of(outlook, types.current)
        width = self.size.width - 2
        if len(points) < 2 or width < 40:
            return Content("")
        return picture(points, width, 14)
