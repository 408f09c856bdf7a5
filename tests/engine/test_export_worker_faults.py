"""What happens to an export when the disk is full, when it is cancelled, and what is left then."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from engine.export import child, client
from engine.export.files import new_room
from engine.export.gguf.convert import write_gguf
from engine.export.gguf.quantise import quantise
from engine.export.merge import Merged
from engine.export.stages import Job, Stage, Target
from store import exports
from store.catalogue import Catalogue
from store.errors import Conflict, NoSpace, WorkerDied
from store.workspace import Workspace
from tests.engine.export_models import STARTER, source_of, tiny_llama


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("faults") / "base", num_hidden_layers=1)


SCRIPT = """
import resource, sys
from pathlib import Path
from engine.export import client
from store import exports
from store.catalogue import Catalogue
from store.errors import NoSpace
from store.workspace import Workspace

if __name__ == "__main__":
    root, base, to = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    out = root / ("m.gguf" if to == "gguf" else "m")
    with Catalogue.open(Workspace(root / "ws")) as cat:
        cat.workspace.create()
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        try:
            client.export(cat, base, to=to, types=["f32"], out=out)
        except NoSpace as error:
            print(error)
        print(exports.all(cat)[0].provenance["error"])
"""


@pytest.mark.parametrize("to", ["gguf", "merged"])
def test_a_disk_that_takes_no_more(to: str, base: Path, tmp_path: Path) -> None:
    """In the middle of a file: said in one sentence, and nothing is left."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(base), to],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(STARTER.parent.parent)},
    )
    said = done.stdout.splitlines()
    assert len(said) == 2 and all("the disk is full" in line for line in said)
    assert [path.name for path in tmp_path.iterdir()] == ["ws"]


def test_a_disk_that_is_full_for_the_quantiser(base: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "f16.gguf", tmp_path / "q4_0.gguf"
    merged = Merged(source_of(base))
    write_gguf(merged, base, "f16", source, notes={}, on_progress=lambda *_: None)
    target.symlink_to("/dev/full")
    with pytest.raises(NoSpace, match=r"the disk is full, or does not take q4_0\.gguf"):
        quantise(source, target, 2, threads=1, importance={}, on_progress=lambda *_: None)
    assert not target.is_symlink() and Path("/dev/full").is_char_device()


def test_a_worker_that_ends_before_it_was_asked(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it never read stays in the pipe, which then cannot be closed without a word."""
    start = child._start

    def ended(log: Path, room: Path) -> subprocess.Popen[bytes]:
        worker = start(log, room)
        worker.wait()
        return worker

    monkeypatch.setattr(child, "MODULE", "engine.export.nowhere")
    monkeypatch.setattr(child, "_start", ended)
    job = Job("verify", "gguf", [Target("", "a.gguf")], source_of(base), str(tmp_path / "llama"))
    with pytest.raises(WorkerDied, match="ended without an answer"):
        child.run(job, tmp_path / "log", new_room(), None, None)


def test_cancelled_while_quantising(base: Path, tmp_path: Path) -> None:
    """Nothing is left: no file, no folder for temporary files, no process, no record."""
    cancel = threading.Event()
    rooms: list[str] = []

    def tell(stage: Stage) -> None:
        if stage.name == "quantise":
            rooms.extend(str(e.provenance["room"]) for e in exports.all(cat))
            cancel.set()

    with Catalogue.open(Workspace(tmp_path / "ws")) as cat:
        with pytest.raises(Conflict, match="cancelled"):
            client.export(
                cat,
                str(base),
                types=["q4_k_m", "q2_k"],
                out=tmp_path / "out",
                on_event=tell,
                cancel=cancel,
            )
        assert exports.all(cat) == []
    assert [path.name for path in tmp_path.iterdir()] == ["ws"]
    assert rooms and all(room.startswith(tempfile.gettempdir()) for room in rooms)
    assert not any(Path(room).exists() for room in rooms)
    ours = [p for p in psutil.process_iter(["ppid", "cmdline"]) if p.info["ppid"] == os.getpid()]
    assert not [p for p in ours if "engine.export.worker" in (p.info["cmdline"] or ())]
