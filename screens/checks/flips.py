"""What flipped at a checkpoint: each prompt with the base's answer and the checkpoint's.

Knows a line and a column of the table. Does not know where answers come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from textual.content import Content

from engine.checks.comparing import in_words
from engine.checks.judging import Count, Item
from screens.checks.matrix import Line
from screens.safe import text

if TYPE_CHECKING:
    from engine.checks.people import Judged

Way = Literal["lost", "won", "all"]
WAYS: tuple[Way, ...] = ("lost", "won", "all")
_SHOWN = 60
_LIMIT = 600
_SIGNS = {
    "pass": ("✓", "$text-success"),
    "fail": ("✗", "$text-error"),
    "skipped": ("–", "$text-muted"),
    "error": ("!", "$text-warning"),
}


def flip_words(line: Line, column: int, way: Way, judged: Sequence[Judged]) -> Content:
    """The prompts of this line that flipped that way, the base's answer beside the checkpoint's.

    Args:
        judged: what is known of the judges that the line is about.
    """
    base, at = line.suite.base.items, line.suite.at
    now = base if column == 0 else at[column - 1].items
    places = [
        place
        for place, (before, after) in enumerate(zip(base, now, strict=True))
        if _within(line, before) and _fits(before, after, way if column else "all")
    ]
    parts = [
        text(f"{one.check} · {one.words()}  l labels answers", "$text-warning") for one in judged
    ]
    if line.counts:
        parts.append(text(_counted(line.counts[column]), "$text-muted"))
    if column:
        pair = line.suite.pairs[column - 1]
        about = pair.total if line.group is None else pair.groups[line.group]
        parts.append(text(in_words(about), "$text-muted"))
    what = {"lost": "flipped down", "won": "flipped up", "all": "prompts"}[way if column else "all"]
    more = Content.styled("  v shows won, or all", "$text-muted") if column and not places else ""
    parts.append(Content.assemble((f"{what}: {len(places):,}", "bold")) + more)
    for place in places[:_SHOWN]:
        parts.append(_entry(base[place], now[place] if column else None))
    if len(places) > _SHOWN:
        more = f"and {len(places) - _SHOWN:,} more: workbench check … --json has every answer"
        parts.append(Content.styled(more, "$text-muted"))
    return Content("\n").join(parts)


def _counted(count: Count) -> str:
    """What the cell under the cursor stands for, with its interval."""
    if count.low is None or count.high is None:
        said = "none was judged"
    else:
        total = count.passed + count.failed
        said = f"{count.passed:,} of {total:,} pass: {count.low:.0%} – {count.high:.0%} (95 %)"
    others = ((count.skipped, "skipped"), (count.errors, "errors"))
    return "; ".join([said, *(f"{many:,} {what}" for many, what in others if many)])


def _within(line: Line, item: Item) -> bool:
    if line.group is None:
        return item.judge == line.judge
    return item.group == line.suite.base.groups[line.group].name


def _fits(before: Item, after: Item, way: Way) -> bool:
    if way == "all":
        return True
    return (before.verdict, after.verdict) == (
        ("pass", "fail") if way == "lost" else ("fail", "pass")
    )


def _entry(before: Item, after: Item | None) -> Content:
    lines = [Content.assemble(("› ", "$accent bold")) + text(before.prompt, limit=_LIMIT)]
    lines.append(_answer("base ", before, "$side-a"))
    if after is not None:
        lines.append(_answer("now  ", after, "$side-b"))
        if after.failed:
            failed = "; ".join(after.failed).replace("{expect}", after.expect or "")
            lines.append(text(f"       {failed}", "$text-muted", limit=_LIMIT))
    return Content("\n").join(lines) + Content("\n")


def _answer(name: str, item: Item, colour: str) -> Content:
    sign, tone = _SIGNS[item.verdict]
    said = " ".join(item.answer.split()) or "(nothing)"
    return Content.assemble((f"  {name}", colour), (f"{sign} ", tone)) + text(said, limit=_LIMIT)
