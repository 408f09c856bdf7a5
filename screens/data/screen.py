"""The Data room."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from screens.actions import bindings, room_actions
from screens.base import Room
from screens.widgets.pane import EmptyState


class DataRoom(Room):
    """Rows of a dataset, and one of them as chat turns beside the list."""

    ROOM = "data"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(room_actions("data"))]

    def compose_room(self) -> ComposeResult:
        yield EmptyState("No dataset is open.", (("o", "open one"),))
