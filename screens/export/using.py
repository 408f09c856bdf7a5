"""The part of the Export room that does something with an export: chat, copy, verify, delete.

Knows which key asks for what. Does not know how lines or advice are made: the engine does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.content import Content
from textual.message import Message

from engine.export import beneath, client, plan
from engine.models import refs
from screens.base import ChatWith
from screens.export.ledger import Record
from screens.export.looking import models
from screens.export.working import Working
from screens.safe import line
from screens.widgets import words
from screens.widgets.modals import Choice, ChoiceModal, LineModal, PickModal

if TYPE_CHECKING:
    from engine.export.lines import Lines


class Gathered(Message):
    """What there is to copy."""

    def __init__(self, found: list[Lines]) -> None:
        super().__init__()
        self.found = found


class Deleted(Message):
    """An export is gone."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class Using(Working):
    """The actions on the export under the cursor."""

    @property
    def current(self) -> Record | None:
        """The export under the cursor, while the list is shown."""
        raise NotImplementedError

    def read_again(self) -> None:
        """Read every record."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        record = self.current if self.is_mounted else None
        if action == "chat":
            return record is not None and record.present
        if action == "copy":
            return record is not None and record.present
        if action == "verify":
            return record is not None and record.present and self.progress is None
        if action == "foreign":
            return self.progress is None
        if action == "delete":
            return record is not None and record.export is not None and record.status != "running"
        return True

    def action_chat(self) -> None:
        record = self.current
        if record is None:
            return
        model = refs.resolve(self.catalogue, record.ref)
        file = str(record.gguf or record.path)
        if record.kind == "adapter":
            self.say("The adapter's folder is what this run's own column answers with.")
            file = record.ref
        elif record.export is not None and record.kind == "adapter-gguf":
            source = plan.source_of(self.catalogue, model)
            under = beneath.of(self.catalogue, record.export, source)
            if under is None:
                made = f"run:{model.run_id}*0"
                self.say(f"The file it is put on is gone: export {made} as {source.lossless}.")
                return
            file = f"{under}+{file}"
        self.shell.visit(ChatWith(tuple(dict.fromkeys((model.base_ref, record.ref, file)))))

    def action_copy(self) -> None:
        if self.current is not None:
            self._gather(self.current)

    @work(thread=True, exclusive=True, group="lines", exit_on_error=False)
    def _gather(self, record: Record) -> None:
        from screens.export.copying import copyable

        with self.open_catalogue() as cat:
            self.post_message(Gathered(copyable(cat, record)))

    @on(Gathered)
    def _gathered(self, event: Gathered) -> None:
        from screens.export.copying import CopyModal

        def chosen(words: str | None) -> None:
            if words is not None:
                self.copy(words)

        self.app.push_screen(CopyModal(event.found), chosen)

    def action_verify(self) -> None:
        record = self.current
        if record is not None and self.progress is None:
            self.verify(record.path, record.ref)

    def action_foreign(self) -> None:
        """Ask for a file, then for the model that it is held against."""

        def named(file: str | None) -> None:
            if file is None:
                return
            modal = PickModal(
                "Against which model?", models(self.catalogue), free=True,
                placeholder="or type a reference or folder",
            )  # fmt: skip
            path = Path(file.strip()).expanduser().absolute()

            def against(ref: str | None) -> None:
                if ref is not None:
                    self.verify(path, ref)

            self.app.push_screen(modal, self.guarded(against))

        def check(file: str) -> str | None:
            there = file.strip() and Path(file.strip()).expanduser().exists()
            return None if there else "Nothing lies there: name a .gguf file or a model folder."

        self.app.push_screen(
            LineModal("Verify a file: a .gguf or a model folder", check=check), named
        )

    def action_delete(self) -> None:
        record = self.current
        if record is None or record.export is None:
            return
        export_id, name = record.export.id, record.path.name
        size = f", {words.size(record.bytes)}" if record.bytes and record.present else ""

        def answered(answer: str | None) -> None:
            if answer == "yes":
                self._delete(export_id, name)

        question = Content("Delete ") + line(name) + Content(f"{size}, with its proof?")
        choices = (Choice("y", "delete it", "yes"), Choice("n", "keep it", "no"))
        self.app.push_screen(ChoiceModal("Delete", question, choices), self.guarded(answered))

    @work(thread=True, group="delete", exit_on_error=False)
    def _delete(self, export_id: int, name: str) -> None:
        with self.open_catalogue() as cat:
            client.delete(cat, export_id)
        self.post_message(Deleted(name))

    @on(Deleted)
    def _deleted(self, event: Deleted) -> None:
        self.read_again()
        self.say(Content("Deleted ") + line(event.name))
