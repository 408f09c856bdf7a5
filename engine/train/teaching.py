"""Which rows of a run would teach nothing, found before anything is started.

Knows a snapshot and what preflight says of its rows. Does not know processes or devices.

A row that cannot be read, that the model has no way to learn from, or of which no token would be
trained stops a run, unless its recipe says `leave_out`: nothing is left out in silence. Blank
lines are no rows. A row that is only cut is trained on as far as it goes; the run lists it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from engine.data.findings.kinds import DROPPED, KINDS, Finding
from engine.data.findings.preflight import Preflight, preflight
from engine.data.split.snapshot import PartRows, excluded
from engine.render import Renderer
from engine.render.purposes import Method, way_out
from engine.train import blocks
from engine.train.counted import DataFacts
from engine.train.recipe import Recipe
from store.errors import BadInput
from store.snapshots import Snapshot

if TYPE_CHECKING:
    from engine.data.dataset import Dataset

_SHOWN = 3
_SEE = "Rows need an assistant turn; see one with: workbench data preview FILE --row 1."


@dataclass(slots=True)
class _Nothing:
    """Rows of one kind that teach nothing, and the first of them in words."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """One more; those of the first lines are kept, in whatever order they come."""
        self.count += 1
        if len(self.first) < _SHOWN or _line(text) < _line(self.first[-1]):
            self.first = sorted([*self.first, text], key=_line)[:_SHOWN]


def refuse_what_teaches_nothing(
    file: Path | str, snapshot: Snapshot, renderer: Renderer, recipe: Recipe
) -> DataFacts:
    """Look at every row of a run through the renderer, before anything is started.

    Args:
        recipe: its method decides what can be learned from; a `max_length` of 0 cuts nothing.
    Returns:
        what the rows to train on amount to; with method=text, what the blocks do. Of a preference
        both answers count as tokens, and the mean is that of a sequence.
    Raises:
        BadInput: some rows would teach nothing and `leave_out` is not set; or nothing at all
            would be trained.
    """
    found: dict[str, _Nothing] = {}
    for item in excluded(snapshot):
        if item.kind == "bad_row":
            found.setdefault("bad_row", _Nothing()).add(item.reason)
    trained, held, method = 0, 0, cast("Method", recipe.method)
    length, way = recipe.max_length or None, ""
    facts = DataFacts(0, 0, 0, 0.0, 0)
    for part in ("eval", "train"):
        rows = PartRows(snapshot, part)
        for seen in preflight(cast("Dataset", rows), renderer, length, method=method):
            if isinstance(seen, Preflight):
                facts = _facts(seen, held, recipe)
                held = seen.rows - seen.dropped if part == "eval" else 0
                trained = seen.trained_tokens if part == "train" else 0
                break
            for finding in _dropped(seen.findings):
                if finding.kind == "unsupported" and not way:
                    way = way_out(rows.row(finding.line), method).replace("FILE", str(file))
                text = f"line {rows.numbers[finding.line - 1]}: {finding.detail}"
                found.setdefault(finding.kind, _Nothing()).add(text)
    if found and not (recipe.leave_out and trained):
        _refuse(file, snapshot, found, trained, way)
    if not trained:
        raise BadInput(f"{file}: no token would be trained: there is no row to train on", _SEE)
    return facts


def _facts(seen: Preflight, held_out: int, recipe: Recipe) -> DataFacts:
    rows, longest, tokens = seen.rows - seen.dropped, seen.longest, seen.total_tokens
    if recipe.method == "text" and recipe.max_length:
        longest = min(recipe.max_length, tokens)
        rows = blocks.count(tokens, recipe.max_length)
    mean = tokens / rows if rows else 0.0
    if recipe.method == "dpo":
        mean /= 2
    return DataFacts(rows, tokens, longest, mean, seen.trained_tokens, held_out)


def _dropped(findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Each row that would teach nothing, once."""
    line = 0
    for finding in findings:
        if finding.kind in DROPPED and finding.line != line:
            line = finding.line
            yield finding


def _refuse(
    file: Path | str,
    snapshot: Snapshot,
    found: dict[str, _Nothing],
    trained: int,
    way: str,
) -> None:
    count = sum(kind.count for kind in found.values())
    words = []
    by_count = sorted(found.items(), key=lambda item: -item[1].count)
    for name, kind in by_count:
        more = [f"and {kind.count - _SHOWN:,} more"] if kind.count > _SHOWN else []
        words.append(f"{kind.count:,} {_title(name)} ({'; '.join([*kind.first, *more])})")
    what = f"{count:,} of {snapshot.rows:,} rows would teach nothing: {'; '.join(words)}"
    if not trained:
        advice = way or KINDS[by_count[0][0]].advice
        raise BadInput(f"{file}: no token would be trained: {what}", advice)
    line = min((kind.first[0] for kind in found.values()), key=_line).partition(":")[0]
    raise BadInput(
        f"{file}: {what}",
        (way and f"{way} ")
        + f"Repair or delete them, beginning with {line} (`workbench data preflight FILE` lists "
        "all), or train without them: --set leave_out=true.",
    )


def _title(kind: str) -> str:
    """A kind in words that go with one row and with many."""
    return KINDS[kind].title.removeprefix("are ")


def _line(text: str) -> int:
    return int(text.removeprefix("line ").partition(":")[0])
