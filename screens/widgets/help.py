"""The help of a room: every key it has, from the table of actions.

Knows the table. Does not know what the room shows right now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from screens.actions import APP_ACTIONS, Action
from screens.widgets.modals import dialog


def help_grid(actions: Sequence[Action]) -> Grid:
    """Two columns: keys, and the sentence with the command that does the same below it.

    A command that several keys in a row stand for is named below the last of them.
    """
    cells: list[Static] = []
    following = [*(action.command for action in actions[1:]), ""]
    for action, after in zip(actions, following, strict=True):
        words = Content(action.tooltip)
        if action.command and action.command != after:
            words += Content.styled(f"\n{action.command}", "$text-muted")
        cells += [Static(Content.styled(action.keys, "$accent bold")), Static(words)]
    return Grid(*cells, classes="help-keys")


class HelpScreen(ModalScreen[None]):
    """All keys of one room, then those that hold everywhere."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1", "close", show=False),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
    ]

    def __init__(self, label: str, words: str, actions: Sequence[Action]) -> None:
        super().__init__()
        self.label = label
        self.words = words
        self.actions = tuple(actions)

    def compose(self) -> ComposeResult:
        body = VerticalScroll(
            Static(Content(self.words), classes="help-words"),
            help_grid(self.actions),
            Static(Content.styled("Everywhere", "bold"), classes="help-words"),
            help_grid(APP_ACTIONS),
        )
        yield dialog(f"{self.label} · help", "esc close", body, classes="-broad -tall")

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

    def action_close(self) -> None:
        self.dismiss()
