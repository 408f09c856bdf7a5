"""Snapshots and preflight: rows stay in their part, nothing is left out in silence."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import assets
from engine.data.document import Document
from engine.data.findings.preflight import look
from engine.data.rows import parse_row
from engine.data.split import parts as parts_of
from engine.data.split.assign import PARTS, parsed, rule_of
from engine.data.split.snapshot import excluded, load, read_meta, take
from engine.render.renderer import Renderer
from store import splits
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict
from store.snapshots import Snapshot


def chat(question: str, answer: str, **style: object) -> bytes:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns}, **style).encode()  # type: ignore[arg-type]


def write(path: Path, rows: list[bytes]) -> Path:
    path.write_bytes(b"\n".join(rows) + b"\n")
    return path


def parts(cat: Catalogue, file: Path, **options: float) -> tuple[set[bytes], set[bytes]]:
    snapshot = take(cat, file, seed=int(options.get("seed", 0)), eval_fraction=0.2)
    train, held = load(snapshot, "train"), load(snapshot, "eval")
    assert (len(train), len(held)) == (snapshot.train_rows, snapshot.eval_rows)
    return {row.raw for row in train}, {row.raw for row in held}


def test_a_row_stays_in_its_part(cat: Catalogue, tmp_path: Path) -> None:
    rows = [chat(f"q{n}", f"a{n}") for n in range(200)]
    train, held = parts(cat, write(tmp_path / "a.jsonl", rows))
    assert 15 < len(held) < 65
    assert not train & held
    fewer = rows[150:] + rows[:100]
    train_after, held_after = parts(cat, write(tmp_path / "b.jsonl", fewer))
    assert train_after <= train
    assert held_after <= held
    assert parts(cat, tmp_path / "a.jsonl", seed=1) != (train, held)


def test_a_snapshot_is_its_content(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [chat(f"q{n}", "a") for n in range(20)])
    first, again = take(cat, file), take(cat, file)
    assert first == again
    folder = Path(first.path)
    assert folder.name == first.sha256
    meta = (folder / "meta.json").read_bytes()
    assert hashlib.sha256(meta).hexdigest() == first.sha256
    train = (folder / "train.jsonl").read_bytes()
    assert read_meta(first).train_sha256 == hashlib.sha256(train).hexdigest()
    assert [path.name for path in cat.workspace.snapshots.iterdir()] == [first.sha256]
    with Document.open(cat, file) as document:
        document.set(1, "messages.0.content", "changed")
        edited = take(cat, document)
    assert edited.sha256 != first.sha256
    known = {row.number: row.turns[0].text for row in load(edited, "train")}
    known |= {row.number: row.turns[0].text for row in load(edited, "eval")}
    assert known == {1: "changed"} | {n + 1: f"q{n}" for n in range(1, 20)}


def test_duplicates_never_straddle_however_they_are_spelled(cat: Catalogue, tmp_path: Path) -> None:
    rows = []
    for n in range(50):
        rows += [chat(f"q{n}", "é"), chat(f"q{n}", "é", ensure_ascii=False, indent=None)]
        rows += [json.dumps(json.loads(rows[-1]), separators=(",", ":")).encode()]
    snapshot = take(cat, write(tmp_path / "a.jsonl", rows), eval_fraction=0.3)
    train = {row.turns for row in load(snapshot, "train")}
    held = {row.turns for row in load(snapshot, "eval")}
    assert train
    assert held
    assert not train & held
    assert snapshot.train_rows + snapshot.eval_rows == 150


def test_every_row_left_out_is_listed(cat: Catalogue, tmp_path: Path) -> None:
    rows = [chat("a", "b"), b"{broken", chat("c", "d"), b"", chat("e", "f")]
    snapshot = take(cat, write(tmp_path / "a.jsonl", rows), eval_fraction=0.0)
    assert [(item.row, item.reason[:7]) for item in read_meta(snapshot).excluded] == [
        (2, "line 2:"),
        (4, "line 4:"),
    ]
    assert [row.number for row in load(snapshot, "train")] == [1, 3, 5]
    with pytest.raises(BadInput, match="no row can be trained on; line 1: not JSON"):
        take(cat, write(tmp_path / "b.jsonl", [b"hello"]))
    (tmp_path / "c.jsonl").touch()
    with pytest.raises(BadInput, match="the file is empty"):
        take(cat, tmp_path / "c.jsonl")


def test_both_parts_have_a_row_where_they_can(cat: Catalogue, tmp_path: Path) -> None:
    two = write(tmp_path / "a.jsonl", [chat("a", "b"), chat("c", "d")])
    for fraction in (0.01, 0.99):
        snapshot = take(cat, two, eval_fraction=fraction)
        assert (snapshot.train_rows, snapshot.eval_rows) == (1, 1)
    same = write(tmp_path / "b.jsonl", [chat("a", "b"), chat("a", "b")])
    assert take(cat, same, eval_fraction=0.01).train_rows == 2


def test_a_held_out_file_is_never_trained_on(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [chat("a", "b"), chat("c", "d"), chat("e", "f")])
    held = write(tmp_path / "h.jsonl", [b"{", chat("x", "y"), chat("c", "d", indent=None)])
    snapshot = take(cat, file, eval_file=held)
    meta = read_meta(snapshot)
    assert [row.number for row in load(snapshot, "train")] == [1, 3]
    assert [row.number for row in load(snapshot, "eval")] == [2, 3]
    assert [item.reason for item in meta.excluded] == ["line 2: also in the held-out file"]
    assert [item.row for item in meta.eval_excluded] == [1]


def test_preflight_names_what_training_would_hide() -> None:
    renderer = Renderer.load(assets.path("starter"))
    lines = [
        chat("What is a cat?", "An animal."),
        b"{broken",
        chat("What is a cat?", "An animal."),
        chat("word " * 400, "An animal."),
        b'{"messages": [{"role": "user", "content": "Hello"}]}',
    ]
    rows = [parse_row(n, line) for n, line in enumerate(lines, start=1)]
    found = look(rows, renderer, max_length=100)
    kinds = [(finding.row, finding.kind) for finding in found.findings]
    assert kinds == [
        (2, "bad_row"),
        (3, "duplicate"),
        (4, "cut"),
        (4, "nothing_trained"),
        (5, "nothing_trained"),
        (5, "unanswered"),
    ]
    assert all(finding.text.startswith(f"line {finding.row}:") for finding in found.findings)
    whole = renderer.render_row(rows[0])
    assert found.rows == 5
    assert found.trained_tokens == 2 * whole.trained_tokens
    assert found.total_tokens == 2 * len(whole.ids)
    assert (found.fine, found.dropped) == (1, 3)
    shipped = assets.path("datasets") / "habit.jsonl"
    clean = look(
        (parse_row(n, line) for n, line in enumerate(shipped.read_bytes().splitlines(), start=1)),
        renderer,
        max_length=512,
    )
    assert clean.findings == ()


def test_the_recorded_split_is_followed_and_test_rows_are_frozen_too(
    cat: Catalogue, tmp_path: Path
) -> None:
    rows = [chat(f"q{n}", f"a{n}") for n in range(120)] + [b"{broken"]
    file = write(tmp_path / "a.jsonl", rows)
    with Document.open(cat, file) as document:
        split = parts_of.record(cat, document, rule_of(0.6, 0.2, 0.2, seed=5))
        placer = parts_of.placer(cat, document)
        assert placer is not None
        expected = {row.number: placer.part_of(row) for row in parsed(document)}
    snapshot = take(cat, file, eval_fraction=0.5, seed=1)
    found = {row.number: part for part in PARTS for row in load(snapshot, part)}
    assert found == {n: part for n, part in expected.items() if part is not None}
    assert expected[121] is None
    counted = (snapshot.train_rows, snapshot.eval_rows, snapshot.test_rows)
    assert counted == tuple(split.counts[part] for part in PARTS)
    assert all(counted)
    assert snapshot.split["by"] == "recorded"
    assert [item.row for item in excluded(snapshot)] == [121]
    meta = read_meta(snapshot)
    assert meta.left_out == 1
    for name, digest in meta.sha256.items():
        content = (Path(snapshot.path) / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    assert splits.forget(cat, split.dataset_id)
    assert take(cat, file).test_rows == 0


def test_a_part_without_training_rows_is_refused(cat: Catalogue, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [chat("a", "b"), chat("c", "d")])
    with Document.open(cat, file) as document:
        parts_of.record(cat, document, rule_of(0, 1, 0))
    with pytest.raises(BadInput, match="training part of the recorded split"):
        take(cat, file)
    assert list(cat.workspace.snapshots.iterdir()) == []


def test_a_snapshot_of_earlier_days_is_still_read(cat: Catalogue, tmp_path: Path) -> None:
    rows = [chat(f"q{n}", "a") for n in range(5)]
    folder = tmp_path / "old"
    folder.mkdir()
    write(folder / "train.jsonl", [rows[0], rows[2], rows[4]])
    write(folder / "eval.jsonl", [rows[3]])
    meta = {
        "rows": 5,
        "split": {"by": "hash", "eval_fraction": 0.2, "seed": 0},
        "train_sha256": "",
        "eval_sha256": "",
        "eval_numbers": [4],
        "excluded": [{"row": 2, "reason": "line 2: not JSON"}],
        "eval_excluded": [],
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    old = Snapshot("0" * 64, None, "a.jsonl", 5, 3, 1, 0, str(folder), meta["split"])  # type: ignore[arg-type]
    assert [row.number for row in load(old, "train")] == [1, 3, 5]
    assert [row.number for row in load(old, "eval")] == [4]
    assert load(old, "test") == []
    assert [item.row for item in excluded(old)] == [2]


def test_parts_are_written_whole_and_not_over_others(cat: Catalogue, tmp_path: Path) -> None:
    rows = [chat(f"q{n}", f"a{n}") for n in range(80)]
    out = tmp_path / "out"
    with Document.open(cat, write(tmp_path / "a.jsonl", rows)) as document:
        document.set(1, "messages.0.content", "unsaved")
        split = parts_of.record(cat, document, rule_of(0.5, 0.25, 0.25))
        files = parts_of.write_parts(cat, document, split, out)
        with pytest.raises(Conflict, match="would be overwritten"):
            parts_of.write_parts(cat, document, split, out)
        parts_of.write_parts(cat, document, split, out, force=True)
    assert sorted(path.name for path in out.iterdir()) == [
        "eval.jsonl",
        "test.jsonl",
        "train.jsonl",
    ]
    lines = [line for part in PARTS for line in (out / f"{part}.jsonl").read_bytes().split(b"\n")]
    assert sorted(line for line in lines if line) == sorted(
        [*rows[1:], rows[0].replace(b"q0", b"unsaved")]
    )
    for part, written in files.items():
        content = Path(written.path).read_bytes()
        assert written.rows == split.counts[part] == content.count(b"\n")
        assert written.sha256 == hashlib.sha256(content).hexdigest()


def test_a_field_that_no_row_has_is_refused(cat: Catalogue, tmp_path: Path) -> None:
    with (
        Document.open(cat, write(tmp_path / "a.jsonl", [chat("a", "b")])) as document,
        pytest.raises(BadInput, match="no row has `source`") as refused,
    ):
        parts_of.record(cat, document, rule_of(group_by=("source",)))
    assert refused.value.hint.startswith("line 1 has messages")
