"""The Chat room: one to four models answer the same question at once.

All parts of the room together: columns, what is written, asked, judged, kept and found again.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content

from screens.actions import bindings, room_actions
from screens.chat.archive import Archive
from screens.chat.column import Column
from screens.chat.columns import Columns
from screens.chat.looks import Looks
from screens.chat.prompt import Prompt
from screens.chat.stepping import Stepping


class ChatRoom(Columns, Stepping, Looks, Archive):
    """Up to four columns over one prompt."""

    ROOM = "chat"
    TITLE_WORDS = (
        "Every column gets the same question and keeps its own conversation. While you write, "
        "keys are text; esc gives them back. Nothing that was asked or said is ever overwritten."
    )
    CSS_PATH = "styles.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(room_actions("chat"))]

    def compose_room(self) -> ComposeResult:
        with Container(id="columns"):
            yield Column(0, "starter")
        yield Prompt(self.copy, self.earlier)

    async def on_mount(self) -> None:
        newest = next((ref for ref, _ in self.candidates() if ref.startswith("run:")), None)
        if newest is not None:
            await self.add_column(newest)
        self.lay_out()
        self.read_draft()
        self.focus_on(self.prompt)
        self.show_status()

    def on_unmount(self) -> None:
        self.save_draft()

    def show_status(self, doing: str = "") -> None:
        where = f" · {self._where}" if self._where else ""
        words = ("blind · " if self.blind else "") + self.drawing + where
        said = Content.styled(words, "$text-muted")
        self.status = Content.styled(doing, "$accent") if doing else self.about or said
        self.refresh_bindings()

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        for allowed in (self.judging_allows(action), self.branching_allows(action)):
            if allowed is not None:
                return allowed
        writing = self.writing
        if action in ("send", "newline"):
            return writing
        if action == "prompt":
            return not writing
        if action == "stop":
            return self.busy
        if action == "keys":
            return writing and not self.busy
        return True
