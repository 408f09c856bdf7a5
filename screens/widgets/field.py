"""One line of a form: a name, a control of one row, and what it means.

Knows how a field is shown, walked and refused. Does not know what a value stands for: whoever
owns the form checks it and says so with `complain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, Static

from screens.safe import line


class Cycle(Widget, can_focus=True):
    """A choice of a few: arrows or space step through them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "turn(1)", "next", show=False),
        Binding("left", "turn(-1)", "before", show=False),
    ]
    DEFAULT_CSS = "Cycle { text-wrap: nowrap; text-overflow: ellipsis; }"
    value: reactive[str] = reactive("")

    class Changed(Message):
        """Another choice was taken."""

    def __init__(self, choices: Sequence[str], value: str) -> None:
        super().__init__()
        self.choices = tuple(choices)
        self.set_reactive(Cycle.value, value)

    def render(self) -> Content:
        around = "$accent bold" if self.has_focus else "$foreground 60%"
        return Content.assemble(("‹ ", around)) + line(self.value) + Content.styled(" ›", around)

    def action_turn(self, by: int) -> None:
        place = self.choices.index(self.value) if self.value in self.choices else -by
        self.value = self.choices[(place + by) % len(self.choices)]
        self.post_message(self.Changed())

    def on_click(self, event: events.Click) -> None:
        self.action_turn(-1 if event.x < 2 else 1)


class Pick(Widget, can_focus=True):
    """A value that is chosen from a list: enter or a click asks for it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "ask", "choose", show=False)]
    value: reactive[str] = reactive("")

    class Wanted(Message):
        """The person wants to choose."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, name: str, value: str, empty: str) -> None:
        super().__init__()
        self.wanted = name
        self.empty = empty
        self.set_reactive(Pick.value, value)

    def render(self) -> Content:
        if not self.value:
            return Content.styled(self.empty, "$foreground 60%")
        room = max(self.size.width, 8)
        shown = self.value if len(self.value) <= room else "…" + self.value[-room + 1 :]
        return line(shown)

    def action_ask(self) -> None:
        self.post_message(self.Wanted(self.wanted))

    def on_click(self) -> None:
        self.action_ask()


class FieldRow(Horizontal):
    """Name, control, and help or complaint; arrows go from field to field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "next field", show=False),
        Binding("up", "app.focus_previous", "field before", show=False),
    ]
    DEFAULT_CSS = """
    FieldRow {
        height: 1;
        & > .field-name { width: 28; color: $text-muted; }
        & > .field-control { width: 16; height: 1; background: $surface; color: $foreground; }
        & > .field-help {
            width: 1fr; height: 1; padding-left: 2; color: $foreground 45%;
            text-wrap: nowrap; text-overflow: ellipsis;
        }
        & > .field-control:focus { background: $block-cursor-background; }
        &:focus-within > .field-name { color: $accent; }
        &.-chosen > .field-help { color: $foreground 65%; }
        &.-changed > .field-name { color: $foreground; text-style: bold; }
        &.-bad > .field-name { color: $text-error; }
        &.-bad > .field-help { color: $text-error; }
        &.-broad > .field-control { width: 1fr; }
    }
    """

    class Left(Message):
        """The field was changed or left: time to look at it."""

        def __init__(self, row: FieldRow) -> None:
            super().__init__()
            self.row = row

    class Entered(Message):
        """Focus came to the field."""

        def __init__(self, row: FieldRow) -> None:
            super().__init__()
            self.row = row

    def __init__(
        self,
        name: str,
        control: Input | Cycle | Pick,
        help_words: str,
        *,
        expected: str = "",
        classes: str = "",
    ) -> None:
        super().__init__(classes=classes)
        self.field = name
        self.control = control
        self.help_words = help_words
        self.expected = expected
        self.complaint = ""
        control.add_class("field-control")

    def compose(self) -> ComposeResult:
        yield Static(Content(self.field), classes="field-name")
        yield self.control
        yield Static(Content(self.help_words), classes="field-help")

    @property
    def value(self) -> str:
        """What the control says now."""
        return self.control.value

    @value.setter
    def value(self, value: str) -> None:
        if isinstance(self.control, Input):
            with self.control.prevent(Input.Changed):
                self.control.value = value
        else:
            self.control.value = value

    def complain(self, complaint: str) -> None:
        """Show what is wrong with the value; empty shows the help again."""
        if complaint == self.complaint:
            return
        self.complaint = complaint
        self.set_class(bool(complaint), "-bad")
        self.explain()

    def explain(self) -> None:
        """Show the complaint, or else the help as it is now."""
        words = Content("✗ ") + line(self.complaint) if self.complaint else Content(self.help_words)
        self.query_one(".field-help", Static).update(words)

    def on_descendant_focus(self) -> None:
        self.post_message(self.Entered(self))

    def on_descendant_blur(self) -> None:
        self.post_message(self.Left(self))

    @on(Input.Changed)
    @on(Cycle.Changed)
    def _changed(self, event: Message) -> None:
        event.stop()
        self.post_message(self.Left(self))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.focus_next()
