"""Findings that are kept with a dataset: written while they are found, shown where rows are now.

Knows preflight, duplicates, the store's table and how rows move. Does not know screens.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from array import array
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.data.findings import duplicates
from engine.data.findings.kinds import KINDS, Finding
from engine.data.findings.preflight import Preflight, Progress, preflight
from engine.data.journal.shift import Shift
from engine.render.purposes import Method
from engine.render.renderer import Renderer
from store import findings
from store.catalogue import Catalogue

if TYPE_CHECKING:
    from engine.data.dataset import Dataset

PREFLIGHT = "preflight"
DUPLICATES = "duplicates"
"""Sources of findings."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A finding on a row as it stands.

    Attributes:
        line: where the row is now.
        touched: the row was edited since, so that the finding may no longer hold.
    """

    line: int
    touched: bool
    found: findings.Finding


def run_preflight(
    cat: Catalogue,
    data: Dataset,
    renderer: Renderer,
    max_length: int | None,
    *,
    model: str,
    batch_size: int = 1,
    processes: int | None = None,
    keep: int = 1000,
    method: Method = "sft",
) -> Generator[Progress | Preflight, None, None]:
    """A preflight whose findings are kept, in place of those of the last one.

    Closing the generator before its end keeps those of the last one.

    Args:
        model: its reference, for whoever reads the findings later.
    Raises:
        as `preflight`; NoSpace: the catalogue cannot hold them.
    """
    key = key_of(renderer, max_length, method)
    with (
        findings.Recording(cat, data.dataset_id, PREFLIGHT, key, data.moment) as out,
        findings.Recording(cat, data.dataset_id, DUPLICATES, "", data.moment) as copies,
    ):
        looking = preflight(
            data,
            renderer,
            max_length,
            batch_size=batch_size,
            processes=processes,
            keep=keep,
            method=method,
        )
        with contextlib.closing(looking):
            for seen in looking:
                if isinstance(seen, Preflight):
                    out.summary = {"model": model, "batch_size": batch_size, **as_dict(seen)}
                    copies.summary = {"rows": seen.count("duplicate")}
                else:
                    # Duplicates come at the end, by themselves.
                    alike = bool(seen.findings) and seen.findings[0].kind == "duplicate"
                    (copies if alike else out).add(_new(found) for found in seen.findings)
                yield seen


def run_duplicates(cat: Catalogue, data: Dataset) -> Iterator[float | dict[str, int]]:
    """Look for exact duplicates alone, and keep them; yields the share done, then the counts."""
    with findings.Recording(cat, data.dataset_id, DUPLICATES, "", data.moment) as out:
        copies = 0
        for seen in duplicates.find(data):
            if isinstance(seen, float):
                yield seen
            else:
                out.add(_new(found) for found in seen)
                copies += len(seen)
        out.summary = {"rows": copies}
    yield dict(out.summary)


def key_of(renderer: Renderer, max_length: int | None, method: Method = "sft") -> str:
    """What findings of a preflight hold for: a template, a vocabulary, a length and a method."""
    said: list[object] = [renderer.template_sha256, renderer.vocabulary_size]
    said += [list(renderer.stop_ids), max_length, *([method] if method != "sft" else [])]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def as_dict(report: Preflight) -> dict[str, Any]:
    """The numbers of a report, for programs; without its findings."""
    return {
        "rows": report.rows,
        "fine": report.fine,
        "dropped": report.dropped,
        "counts": report.counts,
        "max_length": report.max_length,
        "total_tokens": report.total_tokens,
        "trained_tokens": report.trained_tokens,
        "cut_tokens": report.cut_tokens,
        "median_tokens": report.median,
        "longest_tokens": report.longest,
        "epoch_steps": report.epoch_steps,
        "packed_sequences": report.packed_sequences,
        "packed_steps": report.packed_steps,
        "packing_efficiency": report.packing_efficiency,
        "histograms": {
            role: {"edges": list(found.edges), "counts": list(found.counts)}
            for role, found in report.histograms.items()
        },
    }


def shown(
    cat: Catalogue,
    data: Dataset,
    *,
    kind: str | None = None,
    source: str | None = None,
    group: str | None = None,
    limit: int | None = None,
) -> Iterator[Shown]:
    """Findings where their rows are now, in the order they had; those of deleted rows are gone."""
    moves: dict[int, Shift] = {}
    after: tuple[int, int, int] | None = None
    left = 1 << 62 if limit is None else limit
    while left > 0:
        page = findings.page(
            cat, data.dataset_id, kind=kind, source=source, group=group, after=after, limit=1000
        )
        for found in page:
            if found.moment not in moves:
                moves[found.moment] = data.shift(found.moment)
            move = moves[found.moment]
            line = move.now(found.line)
            if line is not None and left > 0:
                left -= 1
                yield Shown(line, move.touched(found.line), found)
        if not page:
            return
        after = page[-1].place


def rows_with(cat: Catalogue, data: Dataset, kind: str | None = None) -> array[int]:
    """The rows that have a finding (of a kind), each once, in order, as they are now."""
    rows = array("Q", (item.line for item in shown(cat, data, kind=kind)))
    return array("Q", np.unique(np.frombuffer(rows, np.uint64)).tobytes())


def _new(found: Finding) -> findings.New:
    level = KINDS[found.kind].level
    return findings.New(found.line, found.kind, level, found.detail, found.group)
