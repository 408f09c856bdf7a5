"""Repairs for many rows at once: what each would change first, then all of it as one undo step.

Knows findings and how a row is edited as turns. Does not know how findings are kept. A repair that
does not fit a row leaves it as it is and says why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.data.findings.kinds import KINDS
from engine.data.findings.recorded import Shown
from engine.data.journal.changes import Delete, Replace
from engine.data.row import turns
from engine.data.row.strict import BOM
from engine.data.rows import parse_row
from engine.render.renderer import Renderer
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.data.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Planned:
    """What a repair does to one row.

    Attributes:
        after: the new row; None deletes it.
        why_not: not empty where the row stays as it is.
    """

    row: int
    kind: str
    before: bytes
    after: bytes | None
    why_not: str = ""

    @property
    def change(self) -> Delete | Replace | None:
        """What the dataset is asked to do; None where nothing changes."""
        if self.why_not or self.before == self.after:
            return None
        return Delete(self.row) if self.after is None else Replace(self.row, self.after)


def fixes() -> dict[str, str]:
    """Kind -> the name of its repair, of kinds that have one."""
    return {name: kind.fix for name, kind in KINDS.items() if kind.fix is not None}


def needs_model(kind: str) -> bool:
    """Does the repair of this kind depend on a model's special tokens?"""
    return fixes().get(kind) == "strip_special"


def check(kind: str) -> None:
    """Let pass a kind that has a repair.

    Raises:
        BadInput: it has none; the hint says what a person can do.
    """
    if kind not in fixes():
        raise BadInput(
            f"{kind}: there is no bulk repair for it",
            KINDS[kind].advice if kind in KINDS else f"kinds with one: {', '.join(fixes())}",
        )


def plan(
    data: Dataset, found: Iterable[Shown], renderer: Renderer | None = None
) -> Iterator[Planned]:
    """What the repairs would do, one entry a row, in the order of the findings.

    Rows that were edited since they were looked at are left alone.

    Args:
        renderer: whose special tokens are taken out of texts.
    Raises:
        BadInput: a kind has no repair.
    """
    seen: set[int] = set()
    for item in found:
        change = repair(item.found.kind, renderer)
        if item.line in seen:
            continue
        seen.add(item.line)
        before = data.raw(item.line)
        if item.touched:
            why = "it was edited since it was looked at"
            yield Planned(item.line, item.found.kind, before, before, why)
            continue
        try:
            yield Planned(item.line, item.found.kind, before, change(before))
        except BadInput as error:
            yield Planned(item.line, item.found.kind, before, before, error.message)


def apply(data: Dataset, planned: Iterable[Planned], label: str) -> int:
    """Make all changes at once, as one undo step; returns how many rows changed."""
    changes = data.batch()
    for item in planned:
        if item.change is not None:
            changes.append(item.change)
    return data.change(changes, label) if changes else 0


def repair(kind: str, renderer: Renderer | None) -> Callable[[bytes], bytes | None]:
    """What makes of a row what it becomes (None: it goes).

    Raises:
        BadInput: the kind has no repair; so may the repair, where it does not fit the row.
    """
    check(kind)
    name = fixes()[kind]
    if kind == "bad_row":
        return without_mark
    if name == "delete":
        return lambda _: None
    if name == "merge_turns":
        return merge_turns
    if name == "drop_last_turn":
        return drop_last_turn
    if name == "strip_special" and renderer is not None and renderer.specials is not None:
        specials = renderer.specials
        return lambda raw: strip_special(raw, specials)
    raise BadInput(
        f"{kind}: there is no bulk repair for it without a model's special tokens",
        "Name the model with --model.",
    )


def without_mark(raw: bytes) -> bytes | None:
    """The row without its byte order mark; None where that was not what is wrong with it."""
    rest = raw.removeprefix(BOM)
    return rest if rest != raw and parse_row(1, rest).error is None else None


def merge_turns(raw: bytes) -> bytes:
    """Neighbours of the same role become one turn.

    Raises:
        BadInput: there are none.
    """
    index, merged = 0, False
    while True:
        views = turns.turns(raw)
        while index + 1 < len(views) and not _mergeable(views[index], views[index + 1]):
            index += 1
        if index + 1 >= len(views):
            break
        raw, merged = turns.merge(raw, index), True
    if not merged:
        raise BadInput("no two turns of one role follow each other", "Reorder the turns by hand.")
    return raw


def _mergeable(one: turns.TurnView, other: turns.TurnView) -> bool:
    alike = one.role == other.role and one.part == other.part and one.train == other.train
    return alike and one.role != "tool" and not one.extra and not other.extra


def drop_last_turn(raw: bytes) -> bytes:
    """Take turns away from the end until the last one is an answer.

    Raises:
        BadInput: there is no answer.
    """
    views = turns.turns(raw)
    if not any(view.role == "assistant" for view in views):
        raise BadInput("no turn is an answer", "Write one, or delete the row.")
    while turns.turns(raw)[-1].role != "assistant":
        raw = turns.delete(raw, len(turns.turns(raw)) - 1)
    return raw


def strip_special(raw: bytes, specials: re.Pattern[str]) -> bytes:
    """Take special tokens out of the text of every turn."""
    for view in turns.turns(raw):
        clean = specials.sub("", view.text)
        if clean != view.text:
            raw = turns.set_text(raw, view.index, clean)
    return raw
