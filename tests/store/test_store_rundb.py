"""The run database: what is written is read, anywhere, and readers are never in the way."""

from __future__ import annotations

import math
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from store.errors import BadInput, Conflict, WorkbenchError
from store.rundb import RunReader, RunWriter


def test_all_that_a_run_says_is_read_while_it_goes_on(run_db: Path) -> None:
    with RunReader.open(run_db) as reader, RunWriter.open(run_db) as writer:
        state = reader.state()
        assert state is not None
        assert (state.status, state.step, state.started) == ("queued", 0, None)
        writer.state("running", total_steps=40)
        writer.metrics(1, {"loss": 3.0, "learning_rate": 1e-4})
        writer.metrics(2, {"loss": 2.5})
        writer.metrics(2, {"eval_loss": 2.75})
        assert reader.names() == ["loss", "learning_rate", "eval_loss"]
        assert reader.exact("loss") == [(1, 3.0), (2, 2.5)]
        assert reader.exact("loss", limit=1) == [(2, 2.5)]
        assert reader.last() == {
            "loss": (2, 2.5),
            "learning_rate": (1, 1e-4),
            "eval_loss": (2, 2.75),
        }
        assert reader.exact("nothing") == []
        assert len(reader.series("nothing")) == 0
        writer.sample(2, "why?", "run", "because \ud83d", 3, "turn end")
        writer.sample(2, "why?", "base", "no", 1, "length")
        first, second = reader.samples()
        assert (first.text, first.tokens, second.model) == ("because \ufffd\ufffd\ufffd", 3, "base")
        assert reader.samples(after_id=first.id) == [second]
        writer.event("preflight", "2 rows are cut", "warn")
        event = reader.events()[-1]
        assert (event.kind, event.text, event.level, event.step) == (
            "preflight",
            "2 rows are cut",
            "warn",
            None,
        )
        assert reader.events(after_id=event.id) == []
        before = reader.state()
        writer.heartbeat()
        running = reader.state()
        assert before is not None
        assert running is not None
        assert running.heartbeat > before.heartbeat
        assert (running.status, running.step, running.total_steps) == ("running", 2, 40)
        writer.state("failed", reason="out of memory")
        ended = reader.state()
        assert ended is not None
        assert (ended.status, ended.reason, ended.step) == ("failed", "out of memory", 2)
        assert ended.finished is not None
        assert ended.started == running.started


def test_what_is_not_finite_is_a_gap_and_an_event(run_db: Path) -> None:
    with RunWriter.open(run_db) as writer, RunReader.open(run_db) as reader:
        writer.metrics(1, {"loss": math.nan, "grad_norm": math.inf, "entropy": 1.0})
        assert reader.exact("loss") == [(1, None)]
        assert reader.last()["grad_norm"] == (1, None)
        assert reader.series("loss").means == (None,)
        (event,) = reader.events()
        assert (event.level, event.kind, event.step) == ("error", "not-finite", 1)
        assert event.text == "step 1: loss is nan, grad_norm is inf"


def test_checkpoints_move_with_the_folder(run_db: Path, tmp_path: Path) -> None:
    inside = run_db.parent / "checkpoints" / "step-000020"
    with RunWriter.open(run_db) as writer:
        writer.checkpoint(20, inside, 123, "a" * 64, eval_loss=0.5)
        writer.checkpoint(40, "checkpoints/step-000040", 124, "b" * 64)
        writer.checkpoint(60, "/elsewhere/step-60", 125, "c" * 64)
        writer.drop_checkpoint(40)
    with RunReader.open(run_db) as reader:
        assert [item.path for item in reader.checkpoints()] == [str(inside), "/elsewhere/step-60"]
    moved = shutil.move(run_db.parent, tmp_path / "elsewhere")
    with RunReader.open(Path(moved) / "run.db") as reader:
        first = reader.checkpoints()[0]
        assert first.path == f"{moved}/checkpoints/step-000020"
        assert (first.step, first.bytes, first.eval_loss) == (20, 123, 0.5)


def test_a_closed_run_is_one_plain_file(run_db: Path) -> None:
    with RunWriter.open(run_db) as writer:
        writer.metrics(1, {"loss": 1.0})
    assert {path.name for path in run_db.parent.iterdir()} == {"run.db", "run.db.lock"}
    with RunReader.open(run_db) as reader:
        assert reader.exact("loss") == [(1, 1.0)]
    assert {path.name for path in run_db.parent.iterdir()} == {"run.db", "run.db.lock"}


def test_a_resumed_run_goes_on_where_it_was(run_db: Path) -> None:
    with RunWriter.open(run_db) as writer:
        writer.state("running", total_steps=9)
        writer.metrics(1, {"loss": 1.0, "lr": 0.1})
    with RunReader.open(run_db) as reader, RunWriter.open(run_db) as writer:
        writer.metrics(2, {"lr": 0.2, "extra": 5.0})
        assert reader.names() == ["loss", "lr", "extra"]
        assert reader.exact("lr") == [(1, 0.1), (2, 0.2)]
        state = reader.state()
        assert state is not None
        assert (state.step, state.total_steps) == (2, 9)


WRITE = """
import sys
from pathlib import Path
from store.rundb import RunWriter
RunWriter.open(Path(sys.argv[1]))
"""


def test_a_run_has_one_writer(run_db: Path) -> None:
    with RunWriter.open(run_db):
        with pytest.raises(Conflict, match="another process is writing this run"):
            RunWriter.open(run_db)
        done = subprocess.run(
            [sys.executable, "-c", WRITE, str(run_db)], capture_output=True, text=True
        )
        assert "store.errors.Conflict" in done.stderr
    RunWriter.open(run_db).close()


def test_a_reader_can_neither_write_nor_checkpoint(run_db: Path) -> None:
    writer = RunWriter.open(run_db)
    for step in range(200):
        writer.metrics(step, {"loss": 1.0})
    wal = Path(f"{run_db}-wal")
    before = wal.read_bytes(), run_db.read_bytes()
    reader = RunReader.open(run_db)
    reader.names()
    connection = reader._connection
    assert connection is not None
    for statement in ("DELETE FROM metrics", "CREATE TABLE x (y)", "PRAGMA user_version=7"):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute(statement)
    assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    reader.close()
    assert (wal.read_bytes(), run_db.read_bytes()) == before
    writer.close()


def test_an_idle_reader_does_not_make_the_log_grow(run_db: Path) -> None:
    with RunWriter.open(run_db) as writer, RunReader.open(run_db) as reader:
        for step in range(4000):
            writer.metrics(step, {"loss": 1.0, "entropy": 2.0})
            if step % 500 == 0:
                assert reader.series("loss").last == (step, 1.0)
                reader.samples()
        assert Path(f"{run_db}-wal").stat().st_size < 6 << 20


def test_a_heartbeat_from_another_thread(run_db: Path) -> None:
    with RunWriter.open(run_db) as writer, RunReader.open(run_db) as reader:
        stop = threading.Event()

        def beat() -> None:
            while not stop.is_set():
                writer.heartbeat()
                reader.state()

        thread = threading.Thread(target=beat)
        thread.start()
        for step in range(300):
            writer.metrics(step, {"loss": float(step)})
        stop.set()
        thread.join()
        assert reader.exact("loss") == [(step, float(step)) for step in range(300)]


def everything(reader: RunReader) -> list[object]:
    return [
        reader.names(),
        reader.exact("loss"),
        list(reader.series("loss").steps),
        reader.last(),
        reader.samples(),
        reader.checkpoints(),
        reader.events(),
        reader.state(),
    ]


EMPTY: list[object] = [[], [], [], {}, [], [], [], None]


def test_a_database_that_is_not_there_yet_reads_as_empty(run_db: Path, tmp_path: Path) -> None:
    with RunReader.open(run_db) as reader:
        assert everything(reader) == EMPTY
        run_db.touch()
        assert everything(reader) == EMPTY
        with RunWriter.open(run_db) as writer:
            writer.metrics(1, {"loss": 1.0})
            assert reader.exact("loss") == [(1, 1.0)]
        shutil.rmtree(run_db.parent)
        assert everything(reader) == EMPTY
        run_db.parent.mkdir()
        with RunWriter.open(run_db) as writer:
            writer.metrics(1, {"loss": 2.0})
            assert reader.exact("loss") == [(1, 2.0)]


def test_a_damaged_or_locked_database_is_named(run_db: Path) -> None:
    run_db.write_text("not a database at all\n" * 100)
    with RunReader.open(run_db) as reader, pytest.raises(BadInput, match=r"run\.db: not a sound"):
        reader.names()
    with pytest.raises(BadInput, match="not a sound"):
        RunWriter.open(run_db)
    run_db.unlink()
    RunWriter.open(run_db).close()
    other = sqlite3.connect(run_db, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with RunReader.open(run_db) as reader:
        with pytest.raises(WorkbenchError, match="locked by another process"):
            reader.names()
        other.execute("ROLLBACK")
        assert reader.names() == []
    other.close()


def test_a_run_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="No such file or directory"):
        RunWriter.open(tmp_path / "nowhere" / "run.db")
