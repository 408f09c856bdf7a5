"""A row as a person reads it: turns under their roles, answers side by side, or why it is broken.

Knows rows and what is known of their tokens; builds `Content` and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from screens.safe import clip, text, visible, visible_lines
from screens.widgets.padtext import cells

if TYPE_CHECKING:
    from engine.data.rows import Row, Turn
    from screens.data.tokens import Section

ROLE_STYLES = {
    "system": "$text-muted bold",
    "developer": "$text-muted bold",
    "user": "bold",
    "assistant": "$accent bold",
    "tool": "$secondary bold",
}
LIMIT = 16_000
"""Characters of a row that are shown; the editor shows all of any text."""
RAW_SHOWN = 8_000
"""Characters of a broken row that are shown."""
_AROUND = (28, 16)
"""Characters before and after the place of an error that are shown with it."""
_EXTRA_SHOWN = ("tool_calls", "reasoning_content", "thinking")
Sections = Sequence["Section"]


def row_content(row: Row, sections: Sections = ()) -> Content:
    """A whole row; `sections`: its tokens so far as they are known, chosen answer first."""
    if row.error is not None and not (row.turns or row.segments or row.ids or row.text):
        return broken(row)
    blocks: list[Content] = []
    if row.error is not None:
        blocks.append(Content.styled("✗ ", "$text-error bold") + text(row.error))
    if row.tools:
        blocks.append(_tools(row.tools))
    if row.purpose == "unpaired" and row.label is not None:
        blocks.append(_label(row.label))
    blocks += _turns(row, sections)
    if row.segments:
        blocks.append(_segments(row.segments))
    if row.ids:
        blocks.append(_ids(row))
    if row.text or not blocks:
        blocks.append(
            Content.styled("text\n", "bold") + (text(row.text) if row.text else nothing())
        )
    return Content("\n\n").join(blocks)


def marks_of(row: Row, sections: Sections) -> list[Content]:
    """For every turn of a row, a rejected answer's last, what is known of its training."""
    marks = _marks(row.turns, sections[0] if sections else None)
    prompt = row.turns[: row.prompt_turns]
    second = sections[1] if len(sections) > 1 else None
    return (
        marks + _marks((*prompt, *row.rejected), second)[len(prompt) :] if row.rejected else marks
    )


def _turns(row: Row, sections: Sections) -> list[Content]:
    """The conversation; a preference has its two answers under headings of their own."""
    pair = bool(row.rejected)
    blocks: list[Content] = []
    left = LIMIT
    marks = marks_of(row, sections)
    steps = row.labels if row.purpose == "stepwise" else ()
    for place, turn in enumerate(row.turns):
        if pair and place == row.prompt_turns:
            blocks.append(heading("a"))
        mark = marks[place]
        nth = place - row.prompt_turns
        if steps and 0 <= nth < len(steps):
            mark = _step(bool(steps[nth]))
        blocks.append(turn_content(turn, mark, limit=left))
        left -= len(turn.text)
        if left <= 0 and place + 1 < len(row.turns):
            more = len(row.turns) - place - 1
            blocks.append(Content.styled(f"… {more:,} more turns not shown", "$text-warning"))
            break
    if pair:
        blocks.append(heading("b"))
        rejected = zip(row.rejected, marks[len(row.turns) :], strict=True)
        blocks += [turn_content(turn, mark) for turn, mark in rejected]
    return blocks


def heading(side: str) -> Content:
    """The words over an answer of a preference pair."""
    words = "A · chosen" if side == "a" else "B · rejected"
    return Content.styled(f"── {words} ──", f"$side-{side} bold")


def _marks(turns: Sequence[Turn], section: Section | None) -> list[Content]:
    """For each turn whether it is trained, and its end with it; empty where that is not known."""
    spans = section.whole.spans if section is not None else ()
    if section is None or len(spans) != len(turns):
        return [declared(turn) for turn in turns]
    found = []
    for place, (turn, span) in enumerate(zip(turns, spans, strict=True)):
        mark = Content("")
        if span.trained:
            mark = Content.styled("✓ trained", "$text-success")
            if section.ends[place : place + 1] == (False,):
                mark += Content.styled("  ! its end is not", "$text-warning")
        elif turn.role == "assistant" or turn.train is not None:
            mark = Content.styled("not trained", "$text-muted")
        if span.start >= len(section.kept.ids):
            mark = Content.styled("✂ cut off", "$text-warning")
        elif span.end > len(section.kept.ids):
            cut = Content.styled("✂ cut", "$text-warning")
            mark = mark + Content("  ") + cut if mark.plain else cut
        found.append(mark)
    return found


def declared(turn: Turn) -> Content:
    """What the file itself says about training a turn."""
    if turn.train is None:
        return Content("")
    words, style = ("train", "$text-success") if turn.train else ("no train", "$text-muted")
    return Content.styled(words, style)


def turn_content(turn: Turn, mark: Content | None = None, *, limit: int = LIMIT) -> Content:
    """One turn: role and marks, then what is thought, said and called."""
    head = text(turn.role, ROLE_STYLES.get(turn.role, "bold"), limit=40)
    for key in turn.extra:
        if key not in _EXTRA_SHOWN:
            head += Content.styled(f"  {key} ", "$text-muted")
            head += text(visible(str(turn.extra[key])), "$text-muted", limit=60)
    if mark is not None and mark.plain:
        head += Content("  ") + mark
    blocks = [head]
    for key in ("reasoning_content", "thinking"):
        thought = turn.extra.get(key)
        if isinstance(thought, str) and thought:
            blocks.append(Content.styled("thinks ", "$text-muted bold")
                          + text(thought, "$text-muted italic", limit=limit))  # fmt: skip
    calls = turn.extra.get("tool_calls")
    shown_calls = _calls(calls) if isinstance(calls, list) else []
    if turn.text:
        blocks.append(_said(turn, limit))
    elif not shown_calls:
        blocks.append(nothing())
    return Content("\n").join([*blocks, *shown_calls])


def _said(turn: Turn, limit: int) -> Content:
    """The text, and which parts of it the file itself says are trained or not."""
    if not turn.flags or len(turn.text) > limit:
        return text(turn.text, limit=max(0, limit))
    parts: list[Content] = []
    at = 0
    for start, end, trained in turn.flags:
        parts.append(text(turn.text[at:start]))
        words = Content("▐" if trained else "▏") + text(turn.text[start:end])
        style = "$accent underline" if trained else "$text-muted"
        parts.append(words.stylize(style) + Content.styled("▌" if trained else "▕", style))
        at = end
    parts.append(text(turn.text[at:]))
    return Content("").join(parts)


def _calls(calls: Sequence[object]) -> list[Content]:
    """Tool calls, one a line: name and arguments."""
    found = []
    for call in calls[:50]:
        function = call.get("function", call) if isinstance(call, Mapping) else {}
        if not isinstance(function, Mapping):
            continue
        name = visible(str(function.get("name", "")))[:80]
        arguments = function.get("arguments", {})
        written = arguments if isinstance(arguments, str) else compact(arguments)
        line = Content.styled("→ ", "$accent bold") + Content.styled(name, "bold")
        found.append(line + text(f" {written}", "$text-muted", limit=2_000))
    return found


def compact(value: object) -> str:
    """A value as JSON in one line, whatever it is."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(type(value).__name__)


def _tools(tools: Sequence[Mapping[str, object]]) -> Content:
    """What the assistant may call: names with the names of what they take."""
    lines = [Content.styled(f"tools · {len(tools)}", "$text-muted bold")]
    for tool in tools[:20]:
        function = tool.get("function", tool)
        function = function if isinstance(function, Mapping) else {}
        schema = function.get("parameters")
        known = schema.get("properties") if isinstance(schema, Mapping) else None
        names = ", ".join(map(str, known)) if isinstance(known, Mapping) else ""
        shown = visible(f"{function.get('name', '?')}({names})")[:200]
        lines.append(Content.styled(f"  {shown}", "$text-muted"))
    if len(tools) > 20:
        lines.append(Content.styled(f"  … {len(tools) - 20} more", "$text-muted"))
    return Content("\n").join(lines)


def _label(good: bool) -> Content:
    if good:
        return Content.styled("✓ labelled a good answer", "$text-success")
    return Content.styled("✗ labelled a bad answer", "$text-error")


def _step(good: bool) -> Content:
    words, style = ("✓ good step", "$text-success") if good else ("✗ bad step", "$text-error")
    return Content.styled(words, style)


def _segments(segments: Sequence[tuple[str, bool]]) -> Content:
    """Segments one after the other, each with whether it is trained."""
    blocks = []
    left = LIMIT
    for words, trained in segments[:500]:
        mark = "✓ trained" if trained else "not trained"
        style = "$text-success" if trained else "$text-muted"
        head = Content.styled("segment  ", "bold") + Content.styled(mark, style)
        blocks.append(head + Content("\n") + text(words, limit=max(0, left)))
        left -= len(words)
        if left <= 0:
            break
    if len(blocks) < len(segments):
        more = len(segments) - len(blocks)
        blocks.append(Content.styled(f"… {more:,} more segments not shown", "$text-warning"))
    return Content("\n\n").join(blocks)


def _ids(row: Row) -> Content:
    """A row that is tokenised already: how many ids, and how many of them are trained."""
    trained = sum(label != -100 for label in row.labels) if row.labels else len(row.ids)
    head = Content.styled(f"token ids · {len(row.ids):,}", "bold")
    head += Content.styled(f"  ✓ {trained:,} trained", "$text-success")
    numbers = " ".join(map(str, row.ids[:2_000])) + (" …" if len(row.ids) > 2_000 else "")
    return head + Content.styled(f"\n{numbers}", "$text-muted")


def nothing() -> Content:
    """What stands where a text is empty."""
    return Content.styled("(empty)", "$text-muted italic")


# Broken rows


def broken(row: Row) -> Content:
    """A row that cannot be read: why, the place with a caret under it, and the row as it stands."""
    from engine.data.row.pretty import decoded, problem, spread
    from engine.data.rows import HEAD_BYTES

    assert row.error is not None
    blocks = [Content.styled("✗ ", "$text-error bold") + text(row.error)]
    raw = decoded(row.raw)
    head = len(row.raw) == HEAD_BYTES and "bytes long" in row.error
    wrong = None if head else problem(raw)
    if wrong is not None and raw.strip():
        blocks.append(_caret(raw, wrong.at, wrong.expected))
    if wrong is not None and len(raw) > sum(_AROUND):
        at = wrong.at
        left, right = max(0, at - RAW_SHOWN // 2), at + RAW_SHOWN // 2
        shown = _raw(("… " if left else "") + raw[left:at])
        shown += _raw(raw[at : at + 1], "$text-error reverse") + _raw(raw[at + 1 : right])
        more = len(raw) - right
        blocks.append(shown + (_more(more) if more > 0 else Content("")))
    elif wrong is None and raw.strip():
        body, more = clip(raw if head else spread(row.raw), RAW_SHOWN)
        blocks.append(_raw(body) + (_more(more) if more else Content("")))
    return Content("\n\n").join(blocks)


def _caret(raw: str, at: int, expected: str) -> Content:
    """The line around a place, and a caret under it."""
    start = max(0, at - _AROUND[0])
    lead = "…" if start else ""
    before = lead + written(raw[start:at])
    after = written(raw[at : at + _AROUND[1]])
    column = Content.styled(f"column {at + 1:,}", "$text-error")
    under = Content(" " * cells(before)) + Content.styled("^ ", "$text-error bold") + column
    line = Content(before) + Content.styled(after, "bold")
    return line + Content("\n") + under + Content.styled(f"\n{expected}", "$text-muted")


def written(raw: str) -> str:
    """Part of a row as one line: what is not text as `\\\\xff`, control bytes as signs."""
    return visible("".join(
        f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c for c in raw
    ))  # fmt: skip


def _raw(raw: str, style: str = "$text-muted") -> Content:
    shown = "\n".join(written(line) for line in raw.split("\n"))
    return Content.styled(visible_lines(shown), style)


def _more(count: int) -> Content:
    return Content.styled(f"\n… {count:,} more characters not shown", "$text-warning italic")
