"""What is wrong with a dataset for one model, found before step 1: nothing is silent.

Knows rows and what the renderer makes of them. Does not know recipes or training.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from engine.data.rows import Row
from engine.data.snapshot import fingerprint
from engine.render.renderer import Renderer
from store.errors import BadInput

Kind = Literal["bad_row", "cut", "nothing_trained", "no_turn_end", "doubled_bos", "duplicate"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about one row; `text` is a sentence that names the line."""

    row: int
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Preflight:
    """A dataset as a model would see it.

    Attributes:
        rows: how many were looked at.
        trained_tokens: ids that the loss counts, after cutting.
        total_tokens: ids, after cutting.
        findings: in the order of the rows.
    """

    rows: int
    trained_tokens: int
    total_tokens: int
    findings: tuple[Finding, ...]

    def count(self, kind: Kind) -> int:
        """How many findings are of a kind."""
        return sum(finding.kind == kind for finding in self.findings)


def preflight(rows: Iterable[Row], renderer: Renderer, max_length: int | None = None) -> Preflight:
    """Render every row as training would, and list what a person should know first.

    Args:
        max_length: how many ids of a row are kept; None keeps all.
    """
    seen: dict[int, int] = {}
    findings: list[Finding] = []
    count = trained = total = 0
    for row in rows:
        count += 1
        tokens, learned, found = _look(row, renderer, max_length)
        total += tokens
        trained += learned
        if row.error is None:
            first = seen.setdefault(fingerprint(row), row.number)
            if first != row.number:
                text = f"line {row.number}: says the same as line {first}"
                found.append(Finding(row.number, "duplicate", text))
        findings += found
    return Preflight(count, trained, total, tuple(findings))


def _look(row: Row, renderer: Renderer, max_length: int | None) -> tuple[int, int, list[Finding]]:
    """Ids kept, ids trained, and findings of one row by itself."""
    n = row.number
    if row.error is not None:
        return 0, 0, [Finding(n, "bad_row", row.error)]
    try:
        whole = renderer.render_row(row, spans=False)
    except BadInput as error:
        return 0, 0, [Finding(n, "bad_row", error.message)]
    found: list[Finding] = []
    kept = len(whole.ids) if max_length is None else min(max_length, len(whole.ids))
    learned = sum(whole.mask[:kept])
    lost = len(whole.ids) - kept
    if lost:
        text = (
            f"line {n}: {lost:,} of {len(whole.ids):,} tokens are cut, "
            f"{whole.trained_tokens - learned:,} of them trained"
        )
        found.append(Finding(n, "cut", text))
    if not learned:
        why = " after cutting" if whole.trained_tokens else ""
        notes = "".join(f" ({note})" for note in whole.notes)
        text = f"line {n}: nothing is trained{why}; expected an assistant turn{notes}"
        found.append(Finding(n, "nothing_trained", text))
    elif not lost and not whole.turn_end_trained:
        text = f"line {n}: the end of a turn is not trained, so the model may not learn to stop"
        found.append(Finding(n, "no_turn_end", text))
    if whole.bos > 1:
        text = f"line {n}: begins with {whole.bos} begin-of-sequence tokens; expected one"
        found.append(Finding(n, "doubled_bos", text))
    return kept, learned, found
