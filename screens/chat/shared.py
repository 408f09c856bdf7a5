"""What the parts of the Chat room share: its columns, its settings, the chat that is recorded.

Every idea of the room (asking, judging) is a class in a module of its own over this one; `ChatRoom`
is all of them together. Knows none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.chat.protocol import Done
from engine.models import refs
from screens.base import Room
from screens.chat.answer import Look
from screens.chat.column import NAMES, Column
from screens.chat.prompt import Prompt
from screens.chat.settings import Settings
from store import exports
from store.errors import WorkbenchError


class Shared(Room):
    """A room with columns over one prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = Settings()
        self.asked_with = self.settings
        """The settings of the last question: those of the next may be others already."""
        self.chat: int | None = None
        self.blind = False
        self.look: Look = "rendered"
        self._active = 1
        self._answering: list[Column] = []

    @property
    def prompt(self) -> Prompt:
        return self.query_one(Prompt)

    @property
    def columns(self) -> list[Column]:
        """The columns from left to right."""
        return sorted(self.query(Column), key=lambda column: column.place)

    def column_at(self, place: int) -> Column | None:
        """The column of that place, where it is still there."""
        return self.query_one_optional(f"#column-{NAMES[place].lower()}", Column)

    @property
    def active(self) -> Column:
        """The column that keys are about: the focused one, else the last that was."""
        columns = self.columns
        for column in columns:
            if column.has_focus_within:
                self._active = column.place
        return columns[min(self._active, len(columns) - 1)]

    @property
    def busy(self) -> bool:
        return bool(self._answering)

    @property
    def writing(self) -> bool:
        """Whether keys are text."""
        return self.focused is not None and self.focused.id == "prompt"

    def candidates(self) -> list[tuple[str, str]]:
        """Models to choose from: (reference, label); bases, runs, then exported files."""
        found = refs.candidates(self.catalogue)
        for made in exports.all(self.catalogue):
            if made.kind not in ("gguf", "adapter-gguf") or not Path(made.path).is_file():
                continue
            proved = " · proved" if made.status == "proved" else ""
            if made.kind == "gguf":
                label = f"{Path(made.path).name} · {made.type} of {made.ref}{proved}"
                found.append((made.path, label))
            elif (base := self._under(made)) is not None:
                label = f"{base.name} + {Path(made.path).name} · adapter of {made.ref}{proved}"
                found.append((f"{base}+{made.path}", label))
        return found

    def _under(self, adapter: exports.Export) -> Path | None:
        """The file that the file of an adapter can be put on."""
        from engine.export import beneath, plan

        try:
            source = plan.source_of(self.catalogue, refs.resolve(self.catalogue, adapter.ref))
            return beneath.of(self.catalogue, adapter, source)
        except WorkbenchError:
            return None  # its run is gone, or what that began on

    def show_status(self, doing: str = "") -> None:
        """Bring the status line up to date: what is being done, else how answers are drawn."""
        raise NotImplementedError

    def ask_again(self, columns: Sequence[Column], settings: Settings | None = None) -> None:
        """Ask the last question again in these columns alone, of the models they have now."""
        raise NotImplementedError

    def recalled(self, column: Column, ref: str) -> Done | None:
        """What a model is known to have answered to the last question in this column."""
        raise NotImplementedError

    def answered(self) -> None:
        """Every column that was asked has said what it will."""

    def action_stop(self) -> None:
        """Stop answering."""
        raise NotImplementedError

    def forget_votes(self) -> None:
        """The answers on screen are no longer those voted on."""
        raise NotImplementedError

    async def add_column(self, ref: str, place: int | None = None) -> Column:
        """One more column, at this place or of the first letter that is free."""
        raise NotImplementedError

    def lay_out(self) -> None:
        """Place the columns again: one came, went or took focus."""
        raise NotImplementedError

    def reveal(self) -> None:
        """Show the names of models again, where they were hidden."""
        raise NotImplementedError

    async def action_new(self) -> None:
        """Begin a new conversation."""
        raise NotImplementedError
