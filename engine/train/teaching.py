"""Which rows of a run would teach nothing, found before anything is started.

Knows a snapshot and what preflight says of its rows. Does not know processes or devices.

A row that cannot be read, that the model has no way to learn from, or of which no token would be
trained stops a run, unless its recipe says `leave_out`: nothing is left out in silence. Blank
lines are no rows. A row that is only cut is trained on as far as it goes; the run lists it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from engine.data.findings import preflight
from engine.data.snapshot import excluded, read
from engine.render import Renderer
from engine.train.recipe import Recipe
from store.errors import BadInput
from store.snapshots import Snapshot

STOPS = {
    "bad_row": "cannot be read",
    "long_line": "is too long to read",
    "empty": "is empty",
    "unsupported": "is of a kind that this training cannot use",
    "role_order": "has its turns in an order that the template refuses",
    "nothing_trained": "has no token to train on",
}
"""Kinds of findings that a row cannot teach with, in words."""
_SHOWN = 3


def refuse_what_teaches_nothing(
    file: Path | str, snapshot: Snapshot, renderer: Renderer, recipe: Recipe
) -> None:
    """Look at every row of a run through the renderer, before anything is started.

    Raises:
        BadInput: some rows would teach nothing and `leave_out` is not set; or nothing at all
            would be trained.
    """
    kinds: Counter[str] = Counter()
    first: dict[str, list[str]] = {}
    trained = 0
    for kind, text, tokens in _looked_at(snapshot, renderer, recipe):
        trained += tokens
        if kind in STOPS:
            kinds[kind] += 1
            shown = first.setdefault(kind, [])
            if len(shown) < _SHOWN:
                shown.append(text)
    if kinds and not (recipe.leave_out and trained):
        _refuse(file, snapshot, kinds, first, trained)
    if not trained:
        raise BadInput(
            f"{file}: no token would be trained: there is no row to train on",
            "Rows need an assistant turn; see one with: workbench data preview FILE --row 1.",
        )


def _looked_at(
    snapshot: Snapshot, renderer: Renderer, recipe: Recipe
) -> Iterator[tuple[str, str, int]]:
    """(kind, words, trained tokens) of whatever is found; tokens of training rows come last."""
    for item in excluded(snapshot):
        if item.kind == "bad_row":
            yield "bad_row", item.reason, 0
    for part in ("eval", "train"):
        report = preflight(read(snapshot, part), renderer, recipe.max_length)
        for finding in report.findings:
            yield finding.kind, finding.text, 0
        if part == "train":
            yield "", "", report.trained_tokens


def _refuse(
    file: Path | str,
    snapshot: Snapshot,
    kinds: Counter[str],
    first: dict[str, list[str]],
    trained: int,
) -> None:
    count = kinds.total()
    words = []
    for kind, number in kinds.most_common():
        more = [f"and {number - _SHOWN:,} more"] if number > _SHOWN else []
        words.append(f"{number:,} × {STOPS[kind]} ({'; '.join([*first[kind], *more])})")
    what = f"{count:,} of {snapshot.rows:,} rows would teach nothing: {'; '.join(words)}"
    if not trained:
        raise BadInput(
            f"{file}: no token would be trained: {what}",
            "Rows need an assistant turn; see one with: workbench data preview FILE --row 1.",
        )
    line = next(itertools.chain.from_iterable(first.values())).partition(":")[0]
    raise BadInput(
        f"{file}: {what}",
        f"Repair or delete them, beginning with {line} (`workbench data preflight FILE` lists "
        "all), or train without them: --set leave_out=true.",
    )
