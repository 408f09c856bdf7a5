"""One row through a model's renderer: the trainer's own, asked as the trainer asks it.

Runs in worker threads, and at once for short rows. Knows rows and renderers; touches no widget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from screens.data.rowlist import Count
from screens.data.tokens import Section, warning_of
from store.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.data.rows import Row, Turn
    from engine.render.renderer import Rendered, Renderer


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a row's tokens: one section, two for a preference, none with a reason.

    `notes` are sentences that a reader should know, of the renderer and of the row's purpose.
    """

    sections: tuple[Section, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> Count:
        """The numbers of a row for the list."""
        if not self.sections:
            return Count(0, 0, self.reason)
        tokens = sum(len(section.whole.ids) for section in self.sections)
        trained = sum(section.kept.trained_tokens for section in self.sections)
        warning = next(filter(None, (warning_of(s.kept) for s in self.sections)), "")
        return Count(tokens, trained, warning)


MANY = 120
"""Turns of a row beyond which they are not told apart: that costs a rendering each."""


def see(renderer: Renderer, row: Row, max_length: int, *, spans: bool = True) -> Seen:
    """Render a row; what cannot be rendered says why."""
    spans = spans and len(row.turns) <= MANY
    try:
        if row.error is not None:
            return Seen(reason=row.error)
        if row.purpose == "preference" and row.rejected:
            return _pair(renderer, row, max_length, spans)
        return _seen([_section(renderer, renderer.render_row(row, spans=spans), max_length)])
    except WorkbenchError as error:
        if row.turns and row.purpose in ("unpaired", "prompt", "stepwise"):
            return _other(renderer, row, max_length, spans, error.message)
        return Seen(reason=error.message)


def _pair(renderer: Renderer, row: Row, max_length: int, spans: bool) -> Seen:
    """Both answers of a preference, each after the same prompt, which nobody trains on."""
    prompt = [_untrained(turn) for turn in row.turns[: row.prompt_turns]]
    sections = []
    chosen = row.turns[row.prompt_turns :]
    for side, label, answer in (("a", "A · chosen", chosen), ("b", "B · rejected", row.rejected)):
        whole = renderer.render([*prompt, *answer], spans=spans, tools=row.tools)
        label = f"{label} · {len(whole.ids):,} tokens"
        sections.append(_section(renderer, whole, max_length, label, side))
    return _seen(sections, (_refusal(renderer, row),))


def _other(renderer: Renderer, row: Row, max_length: int, spans: bool, refused: str) -> Seen:
    """A row that fine-tuning on answers refuses: its turns all the same, and the refusal."""
    try:
        whole = renderer.render(row.turns, spans=spans, tools=row.tools)
    except WorkbenchError as error:
        return Seen(reason=error.message)
    return _seen([_section(renderer, whole, max_length)], (refused,))


def _section(
    renderer: Renderer, whole: Rendered, max_length: int, label: str = "", side: str = ""
) -> Section:
    stops = set(renderer.stop_ids)
    ends = tuple(
        any(whole.mask[n] and whole.ids[n] in stops for n in range(span.start, span.end))
        for span in whole.spans
    )
    kept = whole.cut_to(max_length or None)
    return Section(whole, kept, label, side, ends, _more(renderer, whole))


def _more(renderer: Renderer, whole: Rendered) -> frozenset[int]:
    """Places of tokens that are only more bytes of the character that one before them began."""
    found: list[int] = []
    since = 0
    for place, token in enumerate(whole.tokens):
        if len(token) == 1 and not token.isascii() and whole.tokens[place - 1].endswith(token):
            said = renderer.decode(whole.ids[since:place], special=True)
            if place and said.endswith("\ufffd"):
                found.append(place)
                continue
        since = place
    return frozenset(found)


def _seen(sections: list[Section], more: tuple[str, ...] = ()) -> Seen:
    notes = [note for section in sections for note in section.whole.notes]
    return Seen(tuple(sections), "", tuple(dict.fromkeys(filter(None, (*more, *notes)))))


def _refusal(renderer: Renderer, row: Row) -> str:
    """Why fine-tuning on answers does not take this row, in the renderer's own words."""
    try:
        renderer.render_row(row, max_length=1, spans=False)
    except WorkbenchError as error:
        return error.message
    return ""


def _untrained(turn: Turn) -> Turn:
    from msgspec.structs import replace

    return replace(turn, train=False)
