"""Saves: whole or not at all, and the file stays what it was to everyone else."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.data.document import Document
from engine.data.file import inplace
from store import edits
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "home" / "a.jsonl"
    path.parent.mkdir()
    path.write_bytes(b'{"text": "a"}\n{"text": "b"}\n')
    return path


EDITED = b'{"text": "a"}\n{"text": "B"}\n'


def edit_and_save(cat: Catalogue, path: Path) -> None:
    with Document.open(cat, path) as document:
        document.set(2, "text", "B")
        report = document.save()
        assert report.sha256 == hashlib.sha256(report.path.read_bytes()).hexdigest()
        assert report.bytes == report.path.stat().st_size


def test_a_symlink_stays_one_and_the_mode_stays(cat: Catalogue, file: Path) -> None:
    link = file.parent / "link.jsonl"
    link.symlink_to(file.name)
    file.chmod(0o640)
    edit_and_save(cat, link)
    assert link.is_symlink()
    assert file.read_bytes() == EDITED
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(path.name for path in file.parent.iterdir()) == ["a.jsonl", "link.jsonl"]


def test_hard_links_stay_together(cat: Catalogue, file: Path) -> None:
    other = file.parent / "other.jsonl"
    other.hardlink_to(file)
    edit_and_save(cat, file)
    assert other.read_bytes() == EDITED
    assert other.samefile(file)
    assert sorted(path.name for path in file.parent.iterdir()) == ["a.jsonl", "other.jsonl"]
    with Document.open(cat, file) as document:
        document.delete(2)
        document.save()
    assert other.read_bytes() == b'{"text": "a"}\n'


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_closed_folder_is_overwritten_in_place(cat: Catalogue, file: Path) -> None:
    file.parent.chmod(0o500)
    try:
        edit_and_save(cat, file)
    finally:
        file.parent.chmod(0o700)
    assert file.read_bytes() == EDITED


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_read_only_file_is_left_alone(cat: Catalogue, file: Path) -> None:
    file.chmod(0o400)
    with pytest.raises(BadInput, match="read-only"):
        edit_and_save(cat, file)


def test_a_full_disk_leaves_the_file_and_the_edits(cat: Catalogue, file: Path) -> None:
    file.write_bytes(b"".join(b'{"text": "%d"}\n' % n for n in range(100_000)))
    original = file.read_bytes()
    with Document.open(cat, file) as document:
        document.set(2, "text", "B")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            with pytest.raises(NoSpace, match=r"a\.jsonl: not saved, the disk is full"):
                document.save()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert file.read_bytes() == original
        assert [path.name for path in file.parent.iterdir()] == ["a.jsonl"]
        assert document.unsaved == 1
        document.save()
    assert file.read_bytes() == original.replace(b'"1"', b'"B"', 1)


def test_an_interrupted_overwrite_is_not_passed_over(cat: Catalogue, file: Path) -> None:
    tag = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:12]
    backup = file.parent / f".workbench-{tag}.backup"
    backup.write_bytes(b"old")
    with pytest.raises(Conflict, match=r"the file as it was before lies at .*\.backup"):
        Document.open(cat, file)


HOME = Path(__file__).parents[2]
SAVER = """
import sys
from pathlib import Path
from engine.data.document import Document
from store.catalogue import Catalogue
from store.workspace import Workspace

with Catalogue.open(Workspace(Path(sys.argv[2]))) as cat, Document.open(cat, sys.argv[1]) as doc:
    print("ready", flush=True)
    while True:
        doc.set(1, "text", doc.row(1).text + "x")
        doc.save()
"""


def test_a_kill_leaves_a_whole_file(cat: Catalogue, file: Path) -> None:
    rest = b"".join(b'{"text": "%d"}\n' % n for n in range(50_000))
    file.write_bytes(b'{"text": "a"}\n' + rest)
    for kills, wait in enumerate((0.0, 0.03, 0.06, 0.1), 1):
        command = [sys.executable, "-c", SAVER, str(file), str(cat.workspace.root)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HOME)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        head, _, tail = file.read_bytes().partition(b"\n")
        assert json.loads(head)["text"].startswith("a")
        assert tail == rest
        with Document.open(cat, file) as document:
            assert [path.name for path in file.parent.iterdir()] == ["a.jsonl"]
            # A kill may leave the one edit that it kept from being saved.
            assert document.unsaved <= kills
    with Document.open(cat, file) as document:
        while document.undo():
            pass
        document.save()
    assert file.read_bytes() == b'{"text": "a"}\n' + rest


def leftovers(file: Path) -> tuple[Path, Path]:
    """Where a save in place keeps the old file, and the draft of a process that is gone."""
    tag = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:12]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:8]
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    draft = file.parent / f".workbench-{tag}-{gone.pid}-{boot}.tmp"
    return file.parent / f".workbench-{tag}.backup", draft


@pytest.mark.skipif(sys.platform != "linux", reason="the name of a draft has the boot's id")
@pytest.mark.parametrize("old", [b'{"text": "old"}\n' * 9, b'{"text": "an older one"}\n' * 200_000])
def test_an_overwriting_cut_short_anywhere_is_finished(
    cat: Catalogue, file: Path, old: bytes
) -> None:
    new = b'{"text": "newer"}\n' * 100_000
    filled = old.ljust(len(new), b"\0")
    for torn, whole in (
        (old, old),
        (filled, old if filled == old else new),
        (new[:12] + filled[12:], new),
        (new[:1_500_000] + filled[1_500_000:], new),
        (new, new),
    ):
        backup, draft = leftovers(file)
        backup.write_bytes(old)
        draft.write_bytes(new)
        file.write_bytes(torn)
        with Document.open(cat, file):
            assert file.read_bytes() == whole
        assert [path.name for path in file.parent.iterdir()] == ["a.jsonl"]
    backup, draft = leftovers(file)
    backup.write_bytes(old)
    draft.write_bytes(new)
    file.write_bytes(new[:12] + b"?" + filled[13:])
    with pytest.raises(Conflict, match="a save was cut short"):
        Document.open(cat, file)
    assert backup.read_bytes() == old


def test_a_copy_cut_short_is_not_taken_for_the_old_file(cat: Catalogue, file: Path) -> None:
    backup, draft = leftovers(file)
    draft.with_suffix(".part").write_bytes(file.read_bytes()[:3])
    with Document.open(cat, file) as document:
        assert document.count == 2
    assert not backup.exists()
    assert [path.name for path in file.parent.iterdir()] == ["a.jsonl"]


def test_a_disk_that_fills_up_in_place_leaves_the_old_file(
    cat: Catalogue, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file.parent / "other.jsonl").hardlink_to(file)
    before = file.read_bytes()
    pour, calls = inplace._pour, 0

    def full(source: int, size: int, fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            os.pwrite(fd, b"torn", 0)
            raise OSError(errno.ENOSPC, "No space left on device")
        pour(source, size, fd)

    monkeypatch.setattr(inplace, "_pour", full)
    with Document.open(cat, file) as document:
        document.set(2, "text", "B")
        with pytest.raises(NoSpace):
            document.save()
        assert file.read_bytes() == before
        assert {path.name for path in file.parent.iterdir()} == {"a.jsonl", "other.jsonl"}
        document.save()
    assert file.read_bytes() == EDITED


def test_a_save_in_place_is_no_growth_to_others(cat: Catalogue, file: Path) -> None:
    (file.parent / "other.jsonl").hardlink_to(file)
    with Catalogue.open(cat.workspace) as theirs, Document.open(theirs, file) as other:
        with Document.open(cat, file) as document:
            document.insert(3, b'{"text": "c"}')
            document.save()
        other.grow()
        assert other.count == 3
        assert other.unsaved == 0
        assert all(info.restorable for info in other.versions())


def test_edits_discarded_during_a_save_are_not_saved(
    cat: Catalogue, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()
    begin_save = edits.begin_save

    def meanwhile(*args: Any) -> None:
        begin_save(*args)
        monkeypatch.undo()
        with Catalogue.open(cat.workspace) as theirs:
            assert Document.discard(theirs, file) == 1

    with Document.open(cat, file) as document:
        document.set(2, "text", "B")
        monkeypatch.setattr(edits, "begin_save", meanwhile)
        document.save()
        assert document.unsaved == 0
    assert file.read_bytes() == before
    with Document.open(cat, file) as document:
        assert document.raw(2) == b'{"text": "b"}'


def test_a_version_without_a_last_newline_comes_back_over_an_empty_one(
    cat: Catalogue, file: Path
) -> None:
    file.write_bytes(b'{"text": "a"}')
    with Document.open(cat, file) as document:
        document.delete(1)
        document.save()
        found = document.versions()[-1]
        document.restore(found.id)
        document.save()
    assert file.read_bytes() == b'{"text": "a"}'
