"""The part of the Data room that puts a row under the pen: as turns, as JSON, in another editor.

Knows which row is written and keeps a draft of it; the tokens beside it follow the hand. What is
written becomes one edit of the document when it is kept. Does not know how text is drawn.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.content import Content
from textual.message import Message
from textual.timer import Timer

from screens.data.turning import Turning
from screens.safe import line
from store.errors import Conflict, Unsupported

if TYPE_CHECKING:
    from engine.data.rows import Row
    from screens.data.editor import Editor
    from screens.data.pen import Pen
    from screens.data.seeing import Seen
    from store.drafts import Draft

REST = 0.12
"""Seconds without a key after which the tokens are told anew."""


class Looked(Message):
    """A worker looked at what is written: its tokens, and what is wrong with it where."""

    def __init__(
        self,
        editor: Editor,
        row: Row,
        seen: Seen | None,
        at: int | None,
        wrong: str,
        seconds: float,
    ) -> None:
        super().__init__()
        self.editor = editor
        self.row = row
        self.seen = seen
        self.at = at
        self.wrong = wrong
        self.seconds = seconds


class Writing(Turning):
    """One row under the pen."""

    def __init__(self) -> None:
        super().__init__()
        self._live: Timer | None = None
        self._looking = False
        self._again = False
        self._cost = 0.0
        self._opened_side = False

    # Beginning

    def action_edit(self) -> None:
        """Write in the row's turns, or its texts; a row without any is written as JSON."""
        self._begin("turns")

    def action_edit_json(self) -> None:
        self._begin("json")

    def _begin(self, kind: str, *, outside: bool = False) -> None:
        from engine.data.rows import MAX_ROW_BYTES
        from store.drafts import Drafts

        number = self.rows.number
        raw = self.open_document.raw(number)
        if len(raw) > MAX_ROW_BYTES:
            raise Unsupported(
                f"row {number:,} has {len(raw):,} bytes; the editor takes {MAX_ROW_BYTES:,}",
                "delete it, or split it outside; no model reads so much in one example",
            )
        draft = Drafts(self.workspace).find(self.open_document.dataset_id, raw)
        if draft is None:
            self._write(number, raw, kind, None, outside)
        else:
            self._ask_about_draft(number, raw, kind, draft)

    def _ask_about_draft(self, number: int, raw: bytes, kind: str, draft: Draft) -> None:
        from screens.widgets.modals import Choice, ChoiceModal
        from screens.widgets.words import age, now

        def chosen(answer: str | None) -> None:
            if answer == "on":
                self._write(number, raw, draft.kind, draft)
            elif answer == "anew":
                self.drafts.drop(self.open_document.dataset_id, raw)
                self._write(number, raw, kind, None)

        when = age(now() - draft.saved)
        question = Content(f"Row {number:,} was being edited {when}, and it was not kept.")
        choices = (
            Choice("g", "go on with what was written", "on"),
            Choice("n", "begin anew; what was written is given up", "anew"),
        )
        modal = ChoiceModal("There is a draft of this row", question, choices)
        self.app.push_screen(modal, self.guarded(chosen))

    def _write(
        self, number: int, raw: bytes, kind: str, draft: Draft | None, outside: bool = False
    ) -> None:
        """Put the row under the pen, going on with a draft if there is one."""
        from engine.data.rows import parse_row
        from screens.data.editor import TurnEditor
        from screens.data.jsoneditor import JsonEditor
        from screens.data.pen import pen_of

        pen: Pen | None = None
        if kind == "turns":
            pen = pen_of(parse_row(number, draft.row if draft else raw))
        editor: Editor
        if pen is None:
            written = None
            if draft is not None and draft.kind == "json":
                written = draft.text.decode("utf-8", "surrogateescape")
            editor = JsonEditor(number, raw, written, self.copy)
        else:
            editor = TurnEditor(number, raw, pen, self.copy, draft.place if draft else None)
        self.under_pen = editor
        self._cost = 0.0
        if not self.wide and not self.has_class("-reading"):
            self._opened_side = True
            self.add_class("-reading")
        self.side.write(editor)
        self.side.title_is(parse_row(number, raw), None, edited=False, writing=number)
        if draft is not None and draft.kind == "turns" and isinstance(editor, TurnEditor):
            words = draft.text.decode("utf-8", "surrogateescape")
            editor.call_after_refresh(editor.put, words)
        if outside:
            editor.call_after_refresh(self.guarded(self._outside), None)
        self.refresh_bindings()

    # Following the hand

    def on_key(self, event: events.Key) -> None:
        """What is typed before the editor is on screen goes into it."""
        if self.under_pen is not None and event.is_printable and event.character is not None:
            event.stop()
            self.under_pen.type(event.character)

    def on_editor_typed(self) -> None:
        """Look again once the hand rests; the longer that takes, the longer the rest."""
        self._schedule()
        self.draft_soon(self._cost)

    def _schedule(self) -> None:
        if self._live is not None:
            self._live.stop()
        self._live = self.set_timer(min(2.0, max(REST, 2 * self._cost)), self._look_again)

    def _look_again(self) -> None:
        editor = self.under_pen
        if editor is None:
            return
        if self._looking:
            self._again = True
            return
        self._looking, self._again = True, False
        self._look(editor, *editor.draft())

    @work(thread=True, group="live", exit_on_error=False)
    def _look(self, editor: Editor, base: bytes, words: bytes, place: int) -> None:
        """What is written as a row, judged and rendered; the newest text wins."""
        from engine.data.row.pretty import fold
        from engine.data.rows import parse_row
        from screens.data.editor import TurnEditor
        from screens.data.jsoneditor import judge
        from screens.data.seeing import see
        from store.errors import BadInput

        started = time.perf_counter()
        written = words.decode("utf-8", "surrogateescape")
        at, wrong = None, ""
        try:
            if isinstance(editor, TurnEditor):
                row = editor.pen_at(base).row(place, written)
            else:
                at, wrong = judge(editor.number, written, editor.base)
                row = parse_row(editor.number, fold(written, editor.base))
        except BadInput as error:
            row, wrong = parse_row(editor.number, base), error.message
        seen = see(self.renderer, row, self.max_length) if self.renderer is not None else None
        seconds = time.perf_counter() - started
        self.post_message(Looked(editor, row, seen, at, wrong, seconds))

    @on(Looked)
    def _looked(self, event: Looked) -> None:
        self._looking = False
        self._cost = event.seconds
        if event.editor is not self.under_pen:
            return
        if self._again:
            self._schedule()
        from screens.data.editor import TurnEditor
        from screens.data.jsoneditor import JsonEditor
        from screens.data.turns import marks_of

        number = event.editor.number
        self.side.title_is(event.row, event.seen, edited=False, writing=number)
        self.seen_under_pen = event.seen
        if self.side.tokens_shown:
            self.show_tokens(event.seen)
        if isinstance(event.editor, JsonEditor):
            event.editor.judged(event.at, _judgement(event.wrong, event.row))
        elif isinstance(event.editor, TurnEditor) and event.seen is not None:
            event.editor.told(marks_of(event.row, event.seen.sections))

    # Laying it down

    def lay_down_pen(self) -> None:
        """Stop writing, whatever is written: it stays as a draft."""
        editor = self.under_pen
        if editor is not None:
            self.keep_draft()
            if editor.changed:
                self.say(f"What you wrote in row {editor.number:,} is kept as a draft.")
            self._end()

    @property
    def pen_parting(self) -> str:
        """What to tell who leaves while a row is under the pen."""
        editor = self.under_pen
        if editor is None or not editor.changed:
            return ""
        return f"What you wrote in row {editor.number:,} is a draft: e on that row goes on with it."

    # Ending

    def on_editor_keep(self, event: Editor.Keep) -> None:
        """One edit of the document, one step to undo."""
        editor = self.under_pen
        if editor is None:
            return
        document = self.open_document
        if event.raw == editor.base:
            self.say("Nothing was changed.")
        elif document.raw(editor.number) != editor.base:
            self.save_draft(document.dataset_id, editor)
            raise Conflict(
                f"row {editor.number:,} is not what it was when you began to write",
                "it was changed by another program; your text is kept here and as a draft",
            )
        else:
            document.replace(editor.number, event.raw)
        self.drafts.drop(document.dataset_id, editor.base)
        self._end()
        if event.raw != editor.base:
            self.changed(editor.number, moved=False)

    def on_editor_leave(self, event: Editor.Leave) -> None:
        from screens.widgets.modals import Choice, ChoiceModal

        editor = self.under_pen
        if editor is None:
            return
        if not event.changed:
            self._give_up(editor)
            return

        def chosen(answer: str | None) -> None:
            if answer == "keep":
                editor.keep()
            elif answer == "drop":
                self._give_up(editor)
            else:
                editor.pad.focus()

        choices = (
            Choice("k", "keep the changes", "keep"),
            Choice("d", "give the changes up", "drop"),
        )
        question = Content(f"Row {editor.number:,} is changed. esc goes on writing.")
        self.app.push_screen(ChoiceModal("Leave?", question, choices), self.guarded(chosen))

    def _give_up(self, editor: Editor) -> None:
        self.drafts.drop(self.open_document.dataset_id, editor.base)
        self._end()
        self.show_row()

    def _end(self) -> None:
        if self._live is not None:
            self._live.stop()
        self.stop_drafting()
        self.under_pen = None
        self.seen_under_pen = None
        self.side.read()
        if self._opened_side:
            self._opened_side = False
            self.remove_class("-reading")
        self.focus_on(self.side.scroller if self.has_class("-reading") else self.rows)
        self.refresh_bindings()

    # Keys while writing

    def pen_allows(self, action: str) -> bool | None:
        """Whether an action means something now; None leaves it to the rest of the room."""
        if action.startswith("pen_"):
            if action in _OF_TURNS and self.under_pen is not None:
                return self.under_pen.kind == "turns" and self.under_pen.is_mounted
            return self.under_pen is not None or (action == "pen_outside" and self.has_rows)
        return False if self.under_pen is not None else None

    def action_pen_keep(self) -> None:
        if self.under_pen is not None:
            self.under_pen.keep()

    def action_pen_outside(self) -> None:
        """The text in the person's own editor; from the list, the row as JSON."""
        if self.under_pen is None:
            self._begin("json", outside=True)
        else:
            self._outside(None)

    def _outside(self, _nothing: None) -> None:
        from screens.data import outside

        editor = self.under_pen
        if editor is not None:
            words, suffix = editor.outside()
            editor.came_back(outside.edit(self.app, words, self.drafts.folder, suffix))
            editor.pad.focus()

    def action_pen_tokens(self) -> None:
        """Show or hide the tokens of what is written."""
        self.side.tokens_shown = not self.side.tokens_shown
        if self.side.tokens_shown:
            self.show_tokens(self.seen_under_pen)


_OF_TURNS = ("pen_turn", "pen_add", "pen_up", "pen_down", "pen_role")


def _judgement(wrong: str, row: Row) -> Content:
    if wrong:
        return Content.styled("✗ ", "$text-error") + line(wrong, limit=300)
    words = f"{row.dialect or row.shape}   esc leave"
    return Content.styled("✓ ", "$text-success") + line(words, "$text-muted")
