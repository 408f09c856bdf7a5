"""Faults: a killed writer, a full disk, a file size limit, shared memory that cannot be had."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from store.rundb import RunReader, RunWriter

STREAM = """
import sys
from pathlib import Path
from store.rundb import RunWriter
writer = RunWriter.open(Path(sys.argv[1]))
step = int(sys.argv[2])
while True:
    step += 1
    writer.metrics(step, {"loss": 1.0 / step, "entropy": step / 2, "epoch": step / 100})
    sys.stdout.write(f"{step}\\n")
    sys.stdout.flush()
"""


def run_until_killed(path: Path, start: int, steps: int) -> int:
    """Let a process write, kill it after `steps`; returns the last step it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", STREAM, str(path), str(start)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = start
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged == start + steps:
            os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return acknowledged


def test_a_killed_writer_loses_no_step_it_acknowledged(run_db: Path) -> None:
    dice, step = random.Random(1), 0
    for _ in range(5):
        acknowledged = run_until_killed(run_db, step, dice.randint(1, 900))
        with RunReader.open(run_db) as reader:
            written = [at for at, _ in reader.exact("loss")]
            assert written == list(range(1, len(written) + 1))
            assert len(written) in (acknowledged, acknowledged + 1)
            step = len(written)
            for name in ("entropy", "epoch"):
                assert len(reader.exact(name)) == step
            assert reader.series("loss", points=3).last == (step, 1.0 / step)
            state = reader.state()
            assert state is not None
            assert state.step == step
    with RunWriter.open(run_db) as writer:
        assert writer.db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert writer.db.execute("SELECT count(*) FROM lod WHERE level = 1").fetchone() == (
            3 * (step // 256),
        )


def test_a_folder_copied_after_a_kill_is_read_elsewhere(run_db: Path, tmp_path: Path) -> None:
    acknowledged = run_until_killed(run_db, 0, 300)
    assert Path(f"{run_db}-wal").stat().st_size > 0
    copy = tmp_path / "copy"
    shutil.copytree(run_db.parent, copy)
    with RunReader.open(copy / "run.db") as reader:
        assert len(reader.exact("loss")) >= acknowledged


def test_the_reader_leaves_a_dead_writers_log_alone(run_db: Path) -> None:
    run_until_killed(run_db, 0, 50)
    wal = Path(f"{run_db}-wal")
    before = wal.read_bytes(), run_db.read_bytes()
    with RunReader.open(run_db) as reader:
        assert len(reader.exact("loss")) >= 50
    assert (wal.read_bytes(), run_db.read_bytes()) == before


def test_without_shared_memory_a_dead_run_is_still_read(run_db: Path) -> None:
    """As on a full disk, where nobody can make the -shm file: here a link leads nowhere."""
    run_until_killed(run_db, 0, 50)
    shared = Path(f"{run_db}-shm")
    shared.unlink()
    shared.symlink_to("/nowhere/at/all")
    with RunReader.open(run_db) as reader:
        assert len(reader.exact("loss")) >= 50
        state = reader.state()
        assert state is not None
    shared.unlink()
    # Closed in WAL mode with an empty log: taken as it lies.
    connection = sqlite3.connect(run_db)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    shared.symlink_to("/nowhere/at/all")
    with RunReader.open(run_db) as reader:
        assert len(reader.exact("loss")) >= 50


def test_rows_wait_for_room_and_none_is_lost(run_db: Path) -> None:
    with RunWriter.open(run_db) as writer, RunReader.open(run_db) as reader:
        writer.metrics(1, {"loss": 1.0})
        pages = writer.db.execute("PRAGMA page_count").fetchone()[0]
        writer.db.execute(f"PRAGMA max_page_count={pages}").fetchall()
        for step in range(2, 1200):
            writer.metrics(step, {"loss": float(step), f"late_{step % 3}": 0.0})
        writer.sample(1200, "why?", "run", "x" * 9000, 3, "length")
        writer.state("paused")
        assert writer.trouble is not None
        assert "the disk is full" in writer.trouble
        waiting = writer.pending
        assert waiting > 0
        assert not writer.flush()
        held = len(reader.exact("loss"))
        assert held < 1200
        writer.db.execute("PRAGMA max_page_count=100000").fetchall()
        assert writer.flush()
        assert (writer.trouble, writer.pending) == (None, 0)
        assert reader.exact("loss") == [(step, float(step)) for step in range(1, 1200)]
        assert len(reader.samples()) == 1
        state = reader.state()
        assert state is not None
        assert (state.status, state.step) == ("paused", 1199)
        assert reader.series("loss", points=4).highs[-1] == 1199.0
        event = reader.events()[-1]
        assert (event.kind, event.level) == ("disk", "warn")
        assert f"{waiting} commits waited in memory" in event.text
        assert writer.db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_recovered_disk_is_noticed_by_the_next_step(run_db: Path) -> None:
    with RunWriter.open(run_db) as writer, RunReader.open(run_db) as reader:
        pages = writer.db.execute("PRAGMA page_count").fetchone()[0]
        writer.db.execute(f"PRAGMA max_page_count={pages}").fetchall()
        step = 0
        while writer.trouble is None:
            step += 1
            writer.metrics(step, {"loss": float(step)})
        writer.db.execute("PRAGMA max_page_count=100000").fetchall()
        writer._retry_at = 0.0  # as if the second between two tries were over
        writer.metrics(step + 1, {"loss": 0.0})
        assert writer.trouble is None
        assert len(reader.exact("loss")) == step + 1


def test_a_run_that_ends_on_a_full_disk_says_how_much_is_missing(run_db: Path) -> None:
    writer = RunWriter.open(run_db)
    pages = writer.db.execute("PRAGMA page_count").fetchone()[0]
    writer.db.execute(f"PRAGMA max_page_count={pages}").fetchall()
    for step in range(2000):
        writer.metrics(step, {"loss": 1.0})
    waiting = writer.pending
    assert waiting > 0
    assert writer.close() == waiting
    with RunReader.open(run_db) as reader:
        assert len(reader.exact("loss")) == 2000 - waiting


LIMITED = """
import os, resource, signal, sys
from pathlib import Path
from store.rundb import RunReader, RunWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
writer = RunWriter.open(path)
size = os.stat(f"{path}-wal").st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40_000, resource.RLIM_INFINITY))
for step in range(1, 801):
    writer.metrics(step, {"loss": float(step)})
print(writer.trouble is not None, writer.pending > 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(writer.flush(), writer.trouble)
print(len(RunReader.open(path).exact("loss")), writer.close())
"""


def test_the_system_refuses_to_let_the_file_grow(run_db: Path) -> None:
    """A real failing write below SQLite, not a page limit within it."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(run_db)], capture_output=True, text=True
    )
    assert done.stdout.split("\n")[:3] == ["True True", "True None", "800 0"], done.stderr


def test_a_defect_of_ours_is_not_taken_for_a_full_disk(run_db: Path) -> None:
    writer = RunWriter.open(run_db)
    writer.db.execute("DROP TABLE samples")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        writer.sample(1, "a", "b", "c", 1, "stop")
    assert writer.trouble is None
    writer.db.close()
