"""Saves: whole or not at all, and the file stays what it was to everyone else."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.data.document import Document
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace
from store.workspace import Workspace


@pytest.fixture
def cat(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue.open(Workspace(tmp_path / "workspace")) as catalogue:
        yield catalogue


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
    backup.write_bytes(file.read_bytes())
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
