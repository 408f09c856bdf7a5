"""Small windows over a room: an error, a choice, one line to type.

Knows words and keys. Does not know why it was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from screens.safe import line, text
from store.errors import WorkbenchError


def dialog(title: str, hint: str, *children: Static | Input | OptionList | VerticalScroll,
           classes: str = "") -> Container:  # fmt: skip
    """The frame of a modal: title in the upper border, keys in the lower."""
    frame = Container(*children, classes=f"dialog {classes}".strip())
    frame.border_title = Content(title)
    frame.border_subtitle = Content(hint)
    return frame


def steady(field: Input) -> Input:
    """The field with a cursor that does not blink: idle costs nothing."""
    field.cursor_blink = False
    return field


class ErrorModal(ModalScreen[None]):
    """What went wrong, and what to do about it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,space", "close", show=False)]

    def __init__(self, error: WorkbenchError) -> None:
        super().__init__()
        self.error = error

    def compose(self) -> ComposeResult:
        said = Content("\n\n").join(
            [
                Content.assemble(("✗ ", "$text-error bold")) + text(self.error.message),
                text(self.error.hint, "$text-muted"),
            ]
        )
        yield dialog("Something went wrong", "esc close", Static(said), classes="-bad")

    def action_close(self) -> None:
        self.dismiss()


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to go on: a key, the words for it, and what the dialog answers."""

    key: str
    words: str
    value: str


class ChoiceModal(ModalScreen[str | None]):
    """A question with two to four answers; `esc` answers None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", show=False)]

    def __init__(self, title: str, question: Content, choices: Sequence[Choice]) -> None:
        super().__init__()
        self.title_words = title
        self.question = question
        self.choices = tuple(choices)
        for choice in self.choices:
            self._bindings.bind(choice.key, f"choose('{choice.value}')", show=False)

    def compose(self) -> ComposeResult:
        options = OptionList(
            *(
                Option(Content.assemble((f"{choice.key}  ", "$accent bold"), choice.words),
                       id=choice.value)
                for choice in self.choices
            )
        )  # fmt: skip
        yield dialog(self.title_words, "esc cancel", Static(self.question), options)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)

    def action_choose(self, value: str) -> None:
        self.dismiss(value)

    def action_close(self) -> None:
        self.dismiss(None)


class LineModal(ModalScreen[str | None]):
    """One line to type; `esc` answers None. `check` may refuse with a reason."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", show=False)]

    def __init__(
        self,
        title: str,
        *,
        value: str = "",
        placeholder: str = "",
        check: Callable[[str], str | None] | None = None,
    ) -> None:
        super().__init__()
        self.title_words = title
        self.value = value
        self.placeholder = placeholder
        self.check = check

    def compose(self) -> ComposeResult:
        yield dialog(
            self.title_words,
            "⏎ accept  esc cancel",
            steady(Input(self.value, placeholder=self.placeholder)),
            Static(id="complaint"),
        )

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        complaint = self.check(event.value) if self.check else None
        if complaint is None:
            self.dismiss(event.value)
        else:
            self.query_one("#complaint", Static).update(
                Content.assemble(("✗ ", "$text-error")) + line(complaint)
            )

    def action_close(self) -> None:
        self.dismiss(None)


class PickModal(ModalScreen[str | None]):
    """Choose one of many, by arrows or by typing part of it.

    With `free=True` what was typed is an answer too: the last line, or all there is.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
    ]

    def __init__(
        self,
        title: str,
        items: Sequence[tuple[str, str]],
        *,
        current: str | None = None,
        placeholder: str = "type to narrow",
        free: bool = False,
    ) -> None:
        """Args: items: (value, label) pairs; both may hold untrusted text."""
        super().__init__()
        self.title_words = title
        self.items = tuple(items)
        self.current = current
        self.placeholder = placeholder
        self.free = free
        self._shown: list[str] = []

    def compose(self) -> ComposeResult:
        yield dialog(
            self.title_words,
            "↑↓ move  ⏎ choose  esc cancel",
            steady(Input(placeholder=self.placeholder)),
            OptionList(),
        )

    def on_mount(self) -> None:
        self._fill("")

    def _fill(self, typed: str) -> None:
        wanted = typed.casefold()
        options = self.query_one(OptionList)
        options.can_focus = False
        options.clear_options()
        found = [item for item in self.items if wanted in f"{item[0]} {item[1]}".casefold()]
        # What is called like that comes before what is only described so.
        found.sort(key=lambda item: not item[0].casefold().startswith(wanted))
        own = typed.strip()
        if self.free and own and found and own not in (value for value, _ in found):
            found.append((own, f"{own}  as it is typed"))
        self._shown = [value for value, _ in found]
        for value, label in found:
            mark = "▸ " if value == self.current else "  "
            options.add_option(Option(Content.styled(mark, "$accent") + line(label)))
        if found:
            place = self._shown.index(self.current) if self.current in self._shown else 0
            options.highlighted = place

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        place = self.query_one(OptionList).highlighted
        if place is not None and self._shown:
            self.dismiss(self._shown[place])
        elif self.free and event.value.strip():
            self.dismiss(event.value.strip())

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._shown[event.option_index])

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if options.highlighted is not None and self._shown:
            options.highlighted = (options.highlighted + by) % len(self._shown)

    def action_close(self) -> None:
        self.dismiss(None)
