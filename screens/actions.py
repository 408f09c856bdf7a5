"""What a person can do, as data: the one table behind keys, footer, palette, help and docs.

Each room keeps its own rows in `screens/<room>/actions.py` as `ACTIONS`; the rows that hold
everywhere are here. Knows names, keys and words. Does not know what an action does: `data.save`
is the method `action_save` of the room `data`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from textual.binding import Binding

ROOMS: tuple[tuple[str, str], ...] = (
    ("data", "Data"),
    ("train", "Train"),
    ("chat", "Chat"),
    ("checks", "Checks"),
    ("runs", "Runs"),
    ("export", "Export"),
)
"""Mode and tab label of each room, in the order of the tabs; the key is the position."""

LETTERS = "dtckre"
"""The letter of each room, which with alt goes there where text is typed: alt and a digit reach a
terminal's program as another key."""

EVERYWHERE = "*"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do.

    Attributes:
        id: `room.name`, or `app.name` for what holds everywhere; runs `action_name`. Words may
            carry arguments, `app.go('data')`.
        key: Textual key names, several joined with commas.
        label: one or two words for the footer.
        tooltip: one sentence for help and palette.
        screen: the room (`data`), or `*`.
        command: the command line that does the same, empty where there is none.
        show: whether it wants one of the eight places in the footer.
        when: the state in which the key means this, where it means something else in another;
            the room's `check_action` sees to it.
        while_typing: a key which works even where text is typed.
        palette: whether the command palette lists it (movement does not belong there).
    """

    id: str
    key: str
    label: str
    tooltip: str
    screen: str
    command: str = ""
    show: bool = False
    palette: bool = True
    when: str = ""
    while_typing: str = ""

    @property
    def method(self) -> str:
        """What Textual runs: `save`, or `app.go('data')`."""
        return self.id if self.id.startswith("app.") else self.id.split(".", 1)[1]

    @property
    def bindings(self) -> list[Binding]:
        """The key bindings, each with an id that a keymap can name."""
        name = re.sub(r"[^\w.]+", ".", self.id).strip(".")
        made = [
            Binding(
                self.key, self.method, self.label, show=self.show, id=name, tooltip=self.tooltip
            )
        ]
        if self.while_typing:
            made.append(
                Binding(
                    self.while_typing,
                    self.method,
                    self.label,
                    show=False,
                    priority=True,
                    id=f"{name}.typing",
                    tooltip=self.tooltip,
                )
            )
        return made

    @property
    def keys(self) -> str:
        """The keys as a person reads them: `ctrl+d`, `?`, `j ↓`."""
        keys = filter(None, (*self.key.split(","), self.while_typing))
        return " ".join(display_key(key) for key in keys)


_NAMES = {
    "question_mark": "?",
    "exclamation_mark": "!",
    "slash": "/",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "enter": "⏎",
    "escape": "esc",
    "space": "space",
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "plus": "+",
    "minus": "-",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "comma": ",",
    "full_stop": ".",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "equals_sign": "=",
    "number_sign": "#",
    "percent_sign": "%",
}


def display_key(key: str) -> str:
    """A key's name as it is printed in footer and help."""
    return _NAMES.get(key, key)


APP_ACTIONS: tuple[Action, ...] = (
    *(
        Action(
            f"app.go('{room}')",
            str(place),
            f"Go to {label}",
            f"Show the {label} room.",
            EVERYWHERE,
            while_typing=f"alt+{letter}",
        )
        for place, ((room, label), letter) in enumerate(zip(ROOMS, LETTERS, strict=True), 1)
    ),
    Action(
        "app.help",
        "question_mark,f1",
        "help",
        "Keys and words of the room you are in.",
        EVERYWHERE,
        show=True,
    ),
    Action(
        "app.command_palette", "ctrl+p", "palette", "Find any action by its name.", EVERYWHERE,
        palette=False,
    ),
    Action("app.change_theme", "ctrl+t", "Change theme", "Choose the colours.", EVERYWHERE),
    Action(
        "app.leave", "ctrl+c", "quit", "Press twice to leave. Runs go on without the window.",
        EVERYWHERE, palette=False,
    ),
    Action(
        "app.quit", "ctrl+q", "quit now", "Leave at once. Runs go on without the window.",
        EVERYWHERE,
    ),
)  # fmt: skip


def room_actions(room: str) -> tuple[Action, ...]:
    """The table of one room, read from `screens/<room>/actions.py` when first wanted."""
    table: tuple[Action, ...] = import_module(f"screens.{room}.actions").ACTIONS
    return table


def all_actions() -> tuple[Action, ...]:
    """Every action of the house, app first, rooms in the order of their tabs."""
    rooms = (action for room, _ in ROOMS for action in room_actions(room))
    return (*APP_ACTIONS, *rooms)


def bindings(actions: Sequence[Action]) -> list[Binding]:
    """Textual bindings for a class's `BINDINGS`."""
    return [binding for action in actions for binding in action.bindings]
