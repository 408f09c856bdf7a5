"""Preflight: every kind of finding, the same alone and in workers, flat, and ended at once."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest

from engine.data.background import parallel
from engine.data.background.client import Done, Report, Scan
from engine.data.dataset import Dataset, open_dataset
from engine.data.findings import duplicates
from engine.data.findings import preflight as looking
from engine.data.findings.checking import Duplicates
from engine.data.findings.checking import Preflight as Asked
from engine.data.findings.duplicates import Keys, content_key
from engine.data.findings.kinds import DROPPED, KINDS, Finding
from engine.data.findings.packing import bins
from engine.data.findings.preflight import Preflight, Progress, preflight
from engine.data.findings.recorded import rows_with, run_duplicates, run_preflight, shown
from engine.data.rows import parse_row
from engine.render import Renderer
from store import findings
from store.catalogue import Catalogue
from store.errors import Unsupported, WorkerDied

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def chat(*turns: tuple[str, str], **more: object) -> bytes:
    said = [{"role": role, "content": text} for role, text in turns]
    return json.dumps({"messages": said, **more}).encode()


GOOD = (("user", "What is a cat?"), ("assistant", "An animal."))
LINES: list[tuple[bytes, set[str]]] = [
    (chat(*GOOD), set()),
    (b"{broken", {"bad_row"}),
    (chat(("assistant", "An animal."), ("user", "hello")), {"unanswered"}),
    (b'{"text": "Plain text."}', set()),
    (chat(*GOOD).replace(b"An", b"\\u0041n").replace(b": ", b":"), {"duplicate"}),
    (chat(("user", "word " * 400), ("assistant", "ok")), {"cut", "nothing_trained"}),
    (chat(("user", "a <|end|> b"), ("assistant", "ok")), {"special_text"}),
    (chat(("user", "hi"), ("assistant", " ")), {"empty"}),
    (b"", {"empty"}),
    (b'{"messages": []}', {"empty"}),
    (chat(("user", "x"), ("tool", "y"), ("assistant", "z")), {"role_order"}),
    (b'{"prompt": "a", "chosen": "b", "rejected": "c"}', {"unsupported"}),
    (chat(*GOOD, tools=[TOOL]), {"tools_lost"}),
    (chat(("user", "only")), {"nothing_trained", "unanswered"}),
    (chat(("user", ""), ("assistant", "So?")), {"empty_turn"}),
    (b'{"text": "<|bos|><|bos|>two"}', {"doubled_bos"}),
    (b'{"segments": [{"label": true, "text": "no end"}]}', {"no_turn_end"}),
    (b'{"text": "' + b"x" * (5 << 20) + b'"}', {"long_line"}),
    (chat(*GOOD), {"duplicate"}),
]


@pytest.fixture
def data(cat: Catalogue, tmp_path: Path) -> Iterator[Dataset]:
    (path := tmp_path / "a.jsonl").write_bytes(b"\n".join(line for line, _ in LINES))
    with open_dataset(cat, path) as dataset:
        yield dataset


def ran(dataset: Dataset, renderer: Renderer, **more: Any) -> tuple[Preflight, list[Finding]]:
    found: list[Finding] = []
    for seen in preflight(dataset, renderer, 100, **more):
        if isinstance(seen, Progress):
            found += seen.findings
    assert isinstance(seen, Preflight)
    return seen, found


@pytest.mark.parametrize("processes", [0, 2])
def test_every_kind_is_found_and_nothing_else(data: Dataset, starter: Path, processes: int) -> None:
    report, found = ran(data, Renderer.load(starter), processes=processes, batch_size=2)
    for number, (_, kinds) in enumerate(LINES, 1):
        assert {f.kind for f in found if f.line == number} == kinds, number
    assert {kind for _, kinds in LINES for kind in kinds} <= set(KINDS)
    good = [not {k for k in kinds if KINDS[k].level != "info"} for _, kinds in LINES]
    assert (report.rows, report.fine) == (len(LINES), sum(good))
    taught = sum(not kinds & DROPPED for _, kinds in LINES)
    assert report.dropped == len(LINES) - taught
    assert report.epoch_steps == -(-taught // 2)
    assert report.counts == {k: n for k in KINDS if (n := sum(f.kind == k for f in found))}
    assert sum(report.histograms["row"].counts) == taught
    copies = [f for f in found if f.kind == "duplicate"]
    assert [f.detail for f in copies] == ["says the same as line 1"] * 2
    assert len({f.group for f in copies}) == 1 and copies[0].group


def test_numbers_are_those_of_the_renderer(data: Dataset, starter: Path) -> None:
    renderer = Renderer.load(starter)
    report, found = ran(data, renderer, processes=0)
    left_out = {f.line for f in found if f.kind in DROPPED}
    rows = [data.row(n) for n in range(1, data.count + 1) if n not in left_out]
    seen = [renderer.render_row(row, max_length=100) for row in rows]
    assert report.total_tokens == sum(len(r.ids) for r in seen)
    assert report.trained_tokens == sum(r.trained_tokens for r in seen)
    assert report.cut_tokens == sum(r.cut for r in seen)
    assert report.longest == max(len(r.ids) + r.cut for r in seen)
    edges = report.histograms["row"].edges
    for low, high, count in zip(edges, edges[1:], report.histograms["row"].counts, strict=False):
        assert count == sum(low <= len(r.ids) + r.cut < high for r in seen)


def test_packed_sequences_are_those_of_trl() -> None:
    from trl.data_utils import _pack_bfd

    draw = random.Random(1)
    for _ in range(120):
        length = draw.choice([8, 16, 33, 100])
        sizes = [draw.randint(0, length + 5) for _ in range(draw.randint(1, 80))]
        kept = [min(size, length) for size in sizes]
        if not any(kept):
            continue
        theirs = _pack_bfd(pa.table({"input_ids": [[1] * size for size in sizes]}), length)
        assert bins(np.bincount(kept, minlength=length + 1), length) == len(theirs)


def test_what_a_row_says_is_compared_not_how() -> None:
    same = [
        b'{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"\\u0062"}]}',
        b'{"messages":[{"content":"a","role":"user"},{"role":"assistant","content":"b","train":true}]}',
        b'{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}',
        b'{"prompt":"a","completion":"b"}',
    ]
    other = [
        b'{"messages":[{"role":"system","content":"a"},{"role":"assistant","content":"b"}]}',
        b'{"messages":[{"role":"user","content":"ab"},{"role":"assistant","content":""}]}',
        b'{"prompt":"a","chosen":"b","rejected":"c"}',
        b'{"prompt":"a","chosen":"b","rejected":"d"}',
    ]
    assert len({content_key(parse_row(1, raw)) for raw in same}) == 1
    assert len({content_key(parse_row(1, raw)) for raw in [*same, *other]}) == 5
    keys = Keys()
    for raw in [b"{", *same[:2], b"{", *other[:1], same[2]]:
        keys.extend(content_key(parse_row(1, raw)))
    assert [lines.tolist() for _, lines in keys.groups()] == [[2, 3, 6]]
    assert list(Keys().findings()) == []


def test_closing_it_ends_the_workers_and_keeps_what_was_known(
    cat: Catalogue, tmp_path: Path, starter: Path
) -> None:
    path = tmp_path / "b.jsonl"
    path.write_bytes(b"\n".join(chat(("user", str(n)), ("assistant", "x")) for n in range(9000)))
    renderer = Renderer.load(starter)
    with open_dataset(cat, path) as dataset:
        findings.replace_all(
            cat, dataset.dataset_id, "preflight", "k", [findings.New(3, "cut", "warn", "so")]
        )
        run = run_preflight(cat, dataset, renderer, 100, model="starter", processes=2)
        assert isinstance(next(run), Progress)
        ours = [c for c in psutil.Process().children() if _is_worker(c)]
        assert len(ours) == 2
        run.close()
        assert not any(_is_worker(child) for child in psutil.Process().children())
        assert [item.found.detail for item in shown(cat, dataset)] == ["so"]
        assert threading.active_count() < 10


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != "zombie" and "parallel_process" in " ".join(process.cmdline())
    return False


def test_a_worker_that_dies_is_said(
    data: Dataset, starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_MODULE", "engine.data.no_such_worker")
    with pytest.raises(WorkerDied, match="no_such_worker"):
        ran(data, Renderer.load(starter), processes=2)


@pytest.mark.parametrize("processes", [0, 2])
def test_a_model_without_a_template_is_refused(
    data: Dataset, tmp_path: Path, starter: Path, processes: int
) -> None:
    (folder := tmp_path / "bare").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((starter / name).read_bytes())
    with pytest.raises(Unsupported, match="no chat template"):
        ran(data, Renderer.load(folder), processes=processes)


def test_findings_follow_their_rows(cat: Catalogue, data: Dataset, starter: Path) -> None:
    for _ in run_preflight(cat, data, Renderer.load(starter), 100, model="starter"):
        pass
    before = {item.line: item.found.kind for item in shown(cat, data)}
    assert before[7] == "special_text"
    data.delete(2)
    data.set(6, "messages.0.content", "clean")
    after = {item.line: item for item in shown(cat, data)}
    assert after[6].found.kind == "special_text" and after[6].touched
    assert not after[4].touched and after[4].found.kind == "duplicate"
    assert "bad_row" not in {item.found.kind for item in after.values()}
    assert list(rows_with(cat, data, "duplicate")) == [4, 18]
    kept = {s.source: s for s in findings.sets(cat, data.dataset_id)}
    assert kept["preflight"].summary["model"] == "starter"
    assert kept["duplicates"].counts == {"duplicate": 2}


def test_a_scan_in_the_background_keeps_its_findings(cat: Catalogue, data: Dataset) -> None:
    for request, last in ((Asked(max_length=100), "preflight"), (Duplicates(), "duplicates")):
        events = []
        with Scan.start(cat.workspace, data.path, request) as scan:
            while scan.running:
                scan.wait(60)
                events += scan.poll()
        assert isinstance(events[-1], Done), events
        reports = [event for event in events if isinstance(event, Report)]
        assert reports[-1].kind == last
    counts = findings.counts(cat, data.dataset_id)
    assert counts["duplicate"] == 2 and counts["bad_row"] == 1


def test_memory_stays_flat(cat: Catalogue, tmp_path: Path, starter: Path) -> None:
    """Nothing is held of a row but a few bytes: shares are not piled up before the workers."""
    taken: list[int] = []

    class Counted:
        complete, size, count, path = True, 1 << 30, 40_000, tmp_path

        def iter_raw(self) -> Iterator[tuple[int, bytes]]:
            for n in range(1, self.count + 1):
                taken.append(n)
                yield n, b'{"text":"%d"}' % n

    rows = 0
    for seen in looking.preflight(Counted(), Renderer.load(starter), 64, processes=2):  # type: ignore[arg-type]
        rows = seen.rows
        ahead = (parallel.DEPTH * 2 + 1) * looking.SHARE_ROWS
        assert len(taken) - rows <= ahead
    assert rows == 40_000


def test_a_file_of_copies_is_listed_some_at_a_time(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "copies.jsonl"
    file.write_bytes((chat(*GOOD) + b"\n") * 2501)
    with open_dataset(cat, file) as data:
        batches = [seen for seen in duplicates.find(data) if isinstance(seen, list)]
        assert [len(batch) for batch in batches] == [1000, 1000, 500]
        *_, counts = run_duplicates(cat, data)
        assert counts == {"rows": 2500}
        assert list(rows_with(cat, data, "duplicate")) == list(range(2, 2502))
