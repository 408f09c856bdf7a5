"""Findings: one set stands for a source, whole or not at all; pages at any depth."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import datasets, findings
from store.catalogue import Catalogue
from store.findings import New, Recording


@pytest.fixture
def dataset(cat: Catalogue, tmp_path: Path) -> int:
    (path := tmp_path / "a.jsonl").write_bytes(b"{}\n")
    return datasets.remember(cat, path, path.stat()).id


def some(kind: str, *lines: int, group: str = "") -> list[New]:
    return [New(line, kind, "warn", f"{kind} at {line}", group) for line in lines]


def test_a_newer_set_takes_the_place_of_its_source_alone(cat: Catalogue, dataset: int) -> None:
    findings.replace_all(cat, dataset, "preflight", "a", some("cut", 1, 5, 9), moment=4)
    findings.replace_all(cat, dataset, "duplicates", "", some("duplicate", 5, group="g"))
    assert [(f.line, f.kind) for f in findings.page(cat, dataset)] == [
        (1, "cut"),
        (5, "cut"),
        (5, "duplicate"),
        (9, "cut"),
    ]
    assert findings.counts(cat, dataset) == {"cut": 3, "duplicate": 1}
    assert list(findings.lines(cat, dataset)) == [1, 5, 9]
    assert list(findings.lines(cat, dataset, ["duplicate"])) == [5]
    assert list(findings.lines(cat, dataset, [])) == []
    findings.replace_all(cat, dataset, "preflight", "b", some("empty", 2), summary={"rows": 7})
    assert findings.counts(cat, dataset) == {"empty": 1, "duplicate": 1}
    newest = {s.source: s for s in findings.sets(cat, dataset)}
    assert newest["preflight"].summary == {"rows": 7}
    left = cat.db.execute("SELECT count(*), (SELECT count(*) FROM finding_sets) FROM findings")
    assert left.fetchone() == (2, 2)
    findings.forget(cat, dataset, "preflight")
    assert findings.counts(cat, dataset) == {"duplicate": 1}


def test_what_is_half_written_is_seen_by_nobody(
    cat: Catalogue, dataset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "BATCH", 3)
    findings.replace_all(cat, dataset, "preflight", "a", some("cut", 1, 2))
    with Catalogue.open(cat.workspace) as other:
        with (
            pytest.raises(KeyboardInterrupt),
            Recording(cat, dataset, "preflight", "b", 0) as out,
        ):
            out.add(some("empty", *range(1, 11)))
            assert findings.counts(other, dataset) == {"cut": 2}
            assert {f.kind for f in findings.page(other, dataset)} == {"cut"}
            raise KeyboardInterrupt
        assert findings.counts(other, dataset) == {"cut": 2}
    assert cat.db.execute("SELECT count(*) FROM findings").fetchone() == (2,)


def test_pages_follow_each_other(cat: Catalogue, dataset: int) -> None:
    findings.replace_all(cat, dataset, "x", "", some("cut", *[n // 3 for n in range(3, 300)]))
    findings.replace_all(cat, dataset, "y", "", some("empty", *range(1, 50), group="g1"))
    whole = findings.page(cat, dataset, limit=1000)
    assert [f.line for f in whole] == sorted(f.line for f in whole)
    found: list[findings.Finding] = []
    while page := findings.page(cat, dataset, after=found[-1].place if found else None, limit=7):
        found += page
    assert found == whole and len(whole) == 297 + 49
    assert findings.page(cat, dataset, offset=20, limit=5) == whole[20:25]
    assert [f.line for f in findings.page(cat, dataset, kind="empty", limit=3)] == [1, 2, 3]
    inside = findings.page(cat, dataset, first_line=10, last_line=11)
    assert {f.line for f in inside} == {10, 11} and len(inside) == 8
    assert len(findings.page(cat, dataset, group="g1")) == 49
    assert findings.page(cat, dataset, source="y", limit=1)[0].kind == "empty"


def test_broken_text_is_kept_as_it_can_be(cat: Catalogue, dataset: int) -> None:
    findings.replace_all(cat, dataset, "x", "", [New(1, "cut", "info", "half \ud800")])
    assert findings.page(cat, dataset)[0].detail.startswith("half ")
