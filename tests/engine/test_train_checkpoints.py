"""Checkpoints on disk: whole or absent, verified, pruned without losing the newest or the best."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.jobs.process import environment
from engine.train import checkpoints
from engine.train.failures import explain, is_disk_full

FILES = [("a.bin", b"a" * 1000), ("b.json", b"{}")]


def save(run: Path, step: int, eval_loss: float | None = None) -> checkpoints.Checkpoint:
    return checkpoints.write(run, step, FILES, {"torch": "2"}, eval_loss)


def test_a_written_checkpoint_is_complete_and_verifies(tmp_path: Path) -> None:
    saved = save(tmp_path, 400, 0.5)
    assert saved.path == tmp_path / "checkpoints" / "step-000400"
    assert saved.bytes == 1002
    assert checkpoints.complete(tmp_path) == [saved]
    assert checkpoints.verify(saved.path) == []


@pytest.mark.parametrize("fails_at", range(3))
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, fails_at: int) -> None:
    save(tmp_path, 1)

    def files() -> Iterator[tuple[str, bytes]]:
        for number in range(3):
            if number == fails_at:
                raise OSError(errno.ENOSPC, "No space left on device")
            yield f"{number}.bin", b"x"

    with pytest.raises(OSError) as full:
        checkpoints.write(tmp_path, 2, files(), {})
    assert is_disk_full(full.value)
    assert "disk is full" in explain(full.value)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-000001"]


def test_a_file_size_limit_of_the_system_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.train import checkpoints\n"
        "from engine.train.failures import is_disk_full\n"
        "try: checkpoints.write(Path(sys.argv[1]), 1, [('a', b'1'), ('b', bytes(99999))], {})\n"
        "except OSError as e: sys.exit(7 if is_disk_full(e) else 8)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        check=False,
    )
    assert done.returncode == 7
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_every_kind_of_damage_is_named_and_skipped(tmp_path: Path) -> None:
    kept = save(tmp_path, 1)
    for step in (2, 3, 4, 5):
        save(tmp_path, step)
    folder = tmp_path / "checkpoints"
    (folder / "step-000002" / "b.json").unlink()
    with (folder / "step-000003" / "a.bin").open("r+b") as file:
        file.write(b"b")
    (folder / "step-000004" / "b.json").write_bytes(b"")
    (folder / "step-000005" / "manifest.json").write_bytes(b"{")
    (folder / "step-000006.partial").mkdir()
    (folder / "step-000001-copy").mkdir()  # Somebody's own, whatever is in it.
    found, problems = checkpoints.newest_intact(tmp_path)
    assert found == kept
    assert problems == [
        "step-000006.partial: an interrupted save, removed",
        "step-000005: manifest.json is missing or damaged",
        "step-000004/b.json has 0 bytes, expected 2",
        "step-000003/a.bin was altered (sha256 differs)",
        "step-000002/b.json is missing",
    ]
    assert sorted(p.name for p in folder.iterdir()) == ["step-000001", "step-000001-copy"]
    (folder / "step-000001" / "a.bin").unlink()
    assert checkpoints.newest_intact(tmp_path)[0] is None
    assert [p.name for p in folder.iterdir()] == ["step-000001-copy"]


def test_an_unfinished_save_is_no_checkpoint_even_with_a_manifest(tmp_path: Path) -> None:
    saved = save(tmp_path, 1)
    saved.path.rename(saved.path.with_name("step-000001.partial"))
    assert checkpoints.complete(tmp_path) == []
    assert checkpoints.newest_intact(tmp_path)[0] is None


def test_pruning_spares_the_newest_and_who_is_named(tmp_path: Path) -> None:
    for step, loss in ((1, 0.9), (2, 0.1), (3, 0.5), (4, None), (5, 0.4)):
        save(tmp_path, step, loss)
    assert checkpoints.prune(tmp_path, 0) == []
    assert checkpoints.prune(tmp_path, 3, {2}) == [1]
    assert checkpoints.prune(tmp_path, 1, {2}) == [3, 4]
    assert [c.step for c in checkpoints.complete(tmp_path)] == [2, 5]
