"""What was estimated and measured of memory and time, in the run's own database; older ones."""

from __future__ import annotations

from pathlib import Path

from store.migrations import migrate_run
from store.rundb import Judged, RunReader, RunWriter
from store.runtables import RUN
from store.sqlite import connect, write


def test_fits_come_back_in_order(tmp_path: Path) -> None:
    with RunWriter.open(tmp_path / "run.db") as writer, RunReader.open(tmp_path / "run.db") as db:
        assert db.fits() == []
        writer.fit("estimate", 0, 2 << 30, 0.5, {"parts": {"weights": 1 << 30}})
        writer.fit("probe", 0, 3 << 30, None, {"batch": [8, 512]})
        writer.rewind(-1)
        found = db.fits()
    assert [(f.kind, f.step, f.peak_bytes, f.seconds) for f in found] == [
        ("estimate", 0, 2 << 30, 0.5),
        ("probe", 0, 3 << 30, None),
    ]
    assert found[0].detail == {"parts": {"weights": 1 << 30}}
    assert found[0].created <= found[1].created


def test_a_run_from_before_has_none_and_gets_the_table(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    db = connect(path, any_thread=True)
    RUN.apply(db, stop_before="002-fits")
    db.close()
    with RunReader.open(path) as reader:
        assert reader.fits() == []
    db = connect(path, any_thread=True)
    migrate_run(db)
    db.close()
    with RunWriter.open(path) as writer:
        writer.fit("measured", 7, 1, None, {})
    with RunReader.open(path) as reader:
        assert [fit.step for fit in reader.fits()] == [7]


def test_judged_answers_outlive_the_table_that_knew_no_skipped_ones(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    db = connect(path, any_thread=True)
    RUN.apply(db, stop_before="004-skipped")
    with write(db):
        db.execute("INSERT INTO judged VALUES (5, 's', 'base', 0, 'pass', 'yes', 2, 'turn end')")
    migrate_run(db)
    db.close()
    with RunWriter.open(path) as writer:
        writer.judged(5, "s", "adapter", [Judged(0, "skipped", "no", 1, "length")])
    with RunReader.open(path) as reader:
        assert reader.judged("s", "base", 5) == [Judged(0, "pass", "yes", 2, "turn end")]
        assert reader.judged("s", "adapter", 5)[0].verdict == "skipped"
