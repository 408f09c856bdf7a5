"""A whole dataset against a model and a recipe, before step 1: nothing is silent.

Knows a dataset, the renderer and worker processes. Does not know what is done about a finding or
where it is kept. Memory stays flat: 17 bytes a row, and findings leave as they come.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from engine.data.background.parallel import cores, spread
from engine.data.background.parallel_process import Judging, Lines
from engine.data.findings import packing
from engine.data.findings.duplicates import Keys
from engine.data.findings.judge import BUCKETS, Judge, Tally
from engine.data.findings.kinds import KINDS, Finding
from engine.data.rows import HEAD_BYTES, Row, parse_row
from engine.render.purposes import Method
from engine.render.renderer import Renderer

if TYPE_CHECKING:
    from engine.data.dataset import Dataset

SHARE_BYTES = 256 << 10
SHARE_ROWS = 512
"""A share of a worker is at most so much."""

ALONE_BYTES = 2 << 20
"""A smaller dataset is looked at in this process: it is done before a worker has started."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many turns (or rows) have how many tokens.

    `counts[i]` have at least `edges[i]` tokens and fewer than `edges[i + 1]`.
    """

    edges: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a preflight is, and what it found since the last one.

    Attributes:
        rows: rows looked at; total: rows known to be there.
        share: 0 to 1.
    """

    rows: int
    total: int
    share: float
    tokens: int
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Preflight:
    """A dataset as a model would see it.

    Attributes:
        rows: how many were looked at.
        fine: rows of which nothing is to be said but for information; copies are not fine.
        dropped: rows that training leaves out, as they are broken or teach nothing.
        counts: kind -> findings.
        trained_tokens, total_tokens, cut_tokens: ids with loss, ids in all (after cutting), and
            ids that are cut, of the rows that are trained on.
        histograms: tokens of a turn's text by role; `row` has whole rows.
        longest, median: tokens of a row before cutting.
        max_length: how many ids of a row are kept; None keeps all.
        epoch_steps: optimizer steps of one pass, `batch_size` rows each.
        packed_sequences, packed_steps: the same packed to `max_length`; 0 without one.
        packing_efficiency: the share of packed tokens that are rows', 0 to 1.
        findings: the first of them, in the order of the rows, then duplicates.
    """

    rows: int
    trained_tokens: int
    total_tokens: int
    findings: tuple[Finding, ...]
    fine: int = 0
    dropped: int = 0
    cut_tokens: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    longest: int = 0
    median: int = 0
    max_length: int | None = None
    epoch_steps: int = 0
    packed_sequences: int = 0
    packed_steps: int = 0
    packing_efficiency: float = 0.0

    def count(self, kind: str) -> int:
        """How many findings are of a kind."""
        return self.counts.get(kind, 0)


def preflight(
    data: Dataset,
    renderer: Renderer,
    max_length: int | None = None,
    *,
    batch_size: int = 1,
    processes: int | None = None,
    keep: int = 1000,
    method: Method = "sft",
) -> Generator[Progress | Preflight, None, None]:
    """Render every row as training would; what is found comes with each `Progress`.

    The last thing that comes is the `Preflight`. Close the generator to stop: the workers end.

    Args:
        max_length: how many ids of a row are kept; None keeps all.
        batch_size: rows of one optimizer step.
        processes: workers; None takes one a core, and none for a small dataset.
        keep: findings that the report itself holds.
        method: how rows are learned from: rows of another shape are findings.
    Raises:
        Unsupported: the model has no chat template. Conflict: the file was cut short.
    """
    sums = _Sums(max_length, keep)
    if processes is None:
        processes = 0 if data.complete and data.size <= ALONE_BYTES else cores()
    for tally in _tallies(data, renderer, max_length, processes, method):
        sums.add(tally)
        total = max(data.count, sums.rows)
        # Duplicates are known at the very end.
        share = min(sums.rows / max(total, 1), 0.99)
        yield Progress(sums.rows, total, share, sums.tokens, tuple(tally.findings))
    copies = sums.copies()
    while batch := tuple(itertools.islice(copies, 1000)):
        yield Progress(sums.rows, sums.rows, 0.99, sums.tokens, batch)
    yield sums.report(batch_size)


def look(
    rows: Iterable[Row],
    renderer: Renderer,
    max_length: int | None = None,
    method: Method = "sft",
) -> Preflight:
    """The same for rows at hand, in this process; all findings, in the order of the rows."""
    sums, judge = _Sums(max_length, 1 << 62), Judge(renderer, max_length, method)
    numbers: list[int] = []
    remaining = iter(rows)
    while batch := list(itertools.islice(remaining, SHARE_ROWS)):
        numbers += [row.number for row in batch]
        sums.add(judge.look(batch))
    for _ in sums.copies(numbers):
        pass
    sums.findings.sort(key=lambda finding: finding.line)
    return sums.report(1)


def _tallies(
    data: Dataset,
    renderer: Renderer,
    max_length: int | None,
    processes: int,
    method: Method,
) -> Iterator[Tally]:
    shares = _shares(data)
    if processes == 0 or renderer.folder is None:
        judge = Judge(renderer, max_length, method)
        for share in shares:
            yield judge.look_at_raw(share.first, share.lines, share.errors)
        return
    setting = Judging(str(renderer.folder), max_length, method)
    decoder = msgspec.msgpack.Decoder(Tally)
    for answer in spread("judge", setting, shares, processes):
        yield decoder.decode(answer)


def _shares(data: Dataset) -> Iterator[Lines]:
    first, size = 1, 0
    lines: list[bytes] = []
    errors: dict[int, str] = {}
    for number, raw in data.iter_raw():
        if not lines:
            first = number
        if len(raw) == HEAD_BYTES:
            # Perhaps the head of a row that is too long to be handed out.
            row = data.row(number)
            if row.error is not None and row.error != parse_row(number, raw).error:
                errors[len(lines)] = row.error
        lines.append(raw)
        size += len(raw)
        if size >= SHARE_BYTES or len(lines) >= SHARE_ROWS:
            yield Lines(first, lines, errors)
            lines, errors, size = [], {}, 0
    if lines:
        yield Lines(first, lines, errors)


class _Sums:
    """Everything that is added up over the shares."""

    def __init__(self, max_length: int | None, keep: int) -> None:
        self._max_length = max_length
        self._keep = keep
        self._sum = Tally()
        self._keys = Keys()
        self._good = bytearray()
        self._lengths: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()
        self.findings: list[Finding] = []

    @property
    def rows(self) -> int:
        return self._sum.rows

    @property
    def tokens(self) -> int:
        return self._sum.tokens

    def add(self, tally: Tally) -> None:
        whole = self._sum
        whole.rows += tally.rows
        whole.fine += tally.fine
        whole.dropped += tally.dropped
        whole.tokens += tally.tokens
        whole.trained += tally.trained
        whole.cut += tally.cut
        for role, counts in tally.roles.items():
            known = whole.roles.setdefault(role, [0] * BUCKETS)
            whole.roles[role] = [a + b for a, b in zip(known, counts, strict=True)]
        lengths, rows = np.unique(np.frombuffer(tally.lengths, dtype=np.uint32), return_counts=True)
        self._lengths.update(dict(zip(lengths.tolist(), rows.tolist(), strict=True)))
        self._keys.extend(tally.keys)
        self._good += tally.good
        self._keep_some(tally.findings)

    def copies(self, numbers: list[int] | None = None) -> Iterator[Finding]:
        """Rows that say what an earlier one says; they are not fine.

        Args:
            numbers: the lines of the rows, where they are not 1, 2, 3 …
        """
        places = None if numbers is None else {line: place for place, line in enumerate(numbers)}
        for found in self._keys.findings(numbers):
            self._sum.fine -= self._good[found.line - 1 if places is None else places[found.line]]
            self._keep_some([found])
            yield found

    def report(self, batch_size: int) -> Preflight:
        whole, lengths = self._sum, self._lengths
        taught, most = lengths.total(), self._max_length
        packed = 0
        if most is not None and taught:
            counts = np.zeros(most + 1, dtype=np.int64)
            for length, rows in lengths.items():
                counts[min(length, most)] += rows
            packed = packing.bins(counts, most)
        by_length = np.zeros(BUCKETS, dtype=np.int64)
        for length, rows in lengths.items():
            by_length[min(length.bit_length(), BUCKETS - 1)] += rows
        roles = {**whole.roles, "row": by_length.tolist()}
        return Preflight(
            rows=whole.rows,
            trained_tokens=whole.trained,
            total_tokens=whole.tokens,
            findings=tuple(self.findings),
            fine=whole.fine,
            dropped=whole.dropped,
            cut_tokens=whole.cut,
            counts={kind: self._counts[kind] for kind in KINDS if self._counts[kind]},
            histograms={role: _histogram(counts) for role, counts in roles.items()},
            longest=max(lengths, default=0),
            median=_middle(lengths),
            max_length=most,
            epoch_steps=math.ceil(taught / batch_size),
            packed_sequences=packed,
            packed_steps=math.ceil(packed / batch_size),
            packing_efficiency=whole.tokens / (packed * most) if packed and most else 0.0,
        )

    def _keep_some(self, findings: list[Finding]) -> None:
        self._counts.update(finding.kind for finding in findings)
        if len(self.findings) < self._keep:
            self.findings += findings[: self._keep - len(self.findings)]


def _histogram(counts: list[int]) -> Histogram:
    """Without the empty buckets at the end."""
    last = max((place for place, count in enumerate(counts) if count), default=0)
    edges = [0, *(1 << place for place in range(last + 1))]
    return Histogram(tuple(edges[: last + 2]), tuple(counts[: last + 1]))


def _middle(lengths: Counter[int]) -> int:
    seen, half = 0, lengths.total() / 2
    for length in sorted(lengths):
        seen += lengths[length]
        if seen >= half:
            return length
    return 0
