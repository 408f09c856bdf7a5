"""llama.cpp's own converter, from a checkout that the user has, for what ours does not know.

Knows how it is started, watched and ended, and how to say which one it was. Does not know what it
does: its file is proved like any other. It is code that the user points to; code that comes with a
model is never run, and nothing is fetched.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from engine.export.files import remove, room_of
from engine.jobs.process import environment
from engine.models.folder import read_json
from store.errors import BadInput, Conflict, NotFound, Unsupported
from store.visible import visible

SCRIPT = "convert_hf_to_gguf.py"
TYPES = ("f32", "f16", "bf16", "q8_0")
"""What it writes itself; the others are made of its F16 file."""

_PARTS = (SCRIPT, "conversion", "gguf-py/gguf")
_PYTHONS = (".venv/bin/python", "venv/bin/python")
_SETTINGS = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONSAFEPATH": "1"}
_POLL_SECONDS = 0.2
_TAIL_BYTES = 8192
_SHOWN = 300
_CLONE = "Point to a clone of llama.cpp: git clone https://github.com/ggml-org/llama.cpp"
# Ends with whoever started it, and looks for modules beside the script, as a script does.
_START = """
import os, runpy, sys, threading
def follow():
    while os.read(0, 4096):
        pass
    os._exit(1)
threading.Thread(target=follow, daemon=True).start()
sys.argv.pop(0)
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder with llama.cpp's sources.

    Attributes:
        commit: of git; None where the folder is no clone.
        sha256: of every Python file that takes part in converting.
        python: runs it: that of a `.venv` or `venv` in the folder, else ours.
    """

    path: Path
    commit: str | None
    sha256: str
    python: str

    @classmethod
    def open(cls, path: Path) -> Checkout:
        """Look at a folder.

        Raises:
            NotFound: there is no such folder. BadInput: it is no checkout.
        """
        folder = path.expanduser().absolute()
        if not folder.is_dir():
            raise NotFound(f"--llama-cpp {path}: no such folder.", _CLONE)
        if not (folder / SCRIPT).is_file():
            raise BadInput(f"--llama-cpp {path}: no {SCRIPT} lies there.", _CLONE)
        own = (str(folder / name) for name in _PYTHONS if (folder / name).is_file())
        python = next(own, sys.executable)
        return cls(folder, _commit(folder / ".git"), _hash(folder), python)

    def facts(self) -> dict[str, str | None]:
        """What a record says of the converter."""
        return {
            "converter": "llama.cpp",
            "converter_commit": self.commit,
            "converter_sha256": self.sha256,
        }

    def convert(
        self,
        folder: Path,
        target: Path,
        type_name: str,
        log: Path,
        cancel: threading.Event | None = None,
        *,
        vocab_only: bool = False,
    ) -> None:
        """Convert a model folder to the file `target`.

        Args:
            type_name: one of `TYPES`.
            log: takes what the converter prints.
            cancel: set from another thread to end it.
            vocab_only: leave the weights out: most of what it cannot shows in seconds.
        Raises:
            Unsupported: the converter cannot, in its own words; or the model brings code.
            Conflict: it was cancelled. Nothing is left at `target`.
        """
        _refuse_code(folder)
        room = room_of(target)
        remove(room)
        room.mkdir()
        try:
            # It reads braces in the name of its file, and words in that of the folder.
            made, model = room / "model.gguf", room / "model"
            model.symlink_to(folder, target_is_directory=True)
            words = [str(self.path / SCRIPT), str(model), "--outfile", str(made)]
            words += ["--outtype", type_name, *(["--vocab-only"] if vocab_only else [])]
            start = log.stat().st_size if log.exists() else 0
            code = _run(self.python, words, room, log, cancel)
            if code != 0 or not made.is_file():
                raise self._failure(code, log, start)
            os.replace(made, target)
        finally:
            remove(room)

    def _failure(self, code: int, log: Path, start: int) -> Unsupported:
        """Why the converter gave up, from the end of what it printed after byte `start`."""
        with log.open("rb") as said:
            said.seek(max(start, log.stat().st_size - _TAIL_BYTES))
            text = said.read().decode("utf-8", "replace")
        if missing := re.findall(r"No module named '([\w.]+)'", text):
            name = missing[-1].partition(".")[0]
            return Unsupported(
                f"llama.cpp's converter needs the Python package {name}.",
                f"Install it: {shlex.join([self.python, '-m', 'pip', 'install', name])} . Or make "
                "a .venv in the checkout with its requirements: the Python there is taken first.",
            )
        if unknown := re.findall(r"Model (\w+) is not supported", text):
            return Unsupported(
                f"llama.cpp's converter does not know {unknown[-1]} either.",
                "Update the checkout, or use --to merged.",
            )
        if "pre-tokenizer was not recognized" in text:
            return Unsupported(
                "llama.cpp's converter does not know the tokenizer of this model.",
                "Update the checkout, or use --to merged.",
            )
        if code < 0:
            return Unsupported(
                f"llama.cpp's converter was ended by {signal.Signals(-code).name}.",
                "That is often a lack of memory: close other programs, then export again.",
            )
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        last = visible(lines[-1])[:_SHOWN] if lines else "it said nothing"
        return Unsupported(f"llama.cpp's converter failed: {last}", f"All it said is in {log}")


def _run(
    python: str, words: list[str], room: Path, log: Path, cancel: threading.Event | None
) -> int:
    command = [python, "-s", "-B", "-u", "-c", _START, *words]
    with log.open("ab") as said:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                cwd=room,
                env={k: v for k, v in environment(_SETTINGS).items() if k != "PYTHONPATH"},
            )
        except OSError as error:
            raise Unsupported(
                f"{python}: cannot be started: {error.strerror}.",
                "Make the .venv of the checkout again, or remove it.",
            ) from error
    assert child.stdin is not None
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(_POLL_SECONDS)
            if cancel is not None and cancel.is_set():
                raise Conflict("the export was cancelled.", "Start it again when you like.")
    finally:
        child.kill()
        child.wait()
        child.stdin.close()


def _refuse_code(folder: Path) -> None:
    """The converter asks transformers to run what some models bring along."""
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file() and "auto_map" in read_json(path):
            raise Unsupported(
                f"{path}: key auto_map: this model brings its own code, which is never run.",
                "Use a version of the model whose code is part of transformers.",
            )


def _commit(git: Path) -> str | None:
    """What HEAD stands for, read without running git, whose configuration may run programs."""
    try:
        if git.is_file():  # of a worktree
            git = (git.parent / git.read_text().removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return _is_hash(head)
        name = head.removeprefix("ref:").strip()
        common = git / "commondir"
        home = (git / common.read_text().strip()).resolve() if common.is_file() else git
        if (home / name).is_file():
            return _is_hash((home / name).read_text().strip())
        packed = (home / "packed-refs").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(rf"^([0-9a-f]+) {re.escape(name)}$", packed, re.MULTILINE)
    return _is_hash(found[1]) if found else None


def _is_hash(text: str) -> str | None:
    return text if re.fullmatch(r"[0-9a-f]{40,64}", text) else None


def _hash(folder: Path) -> str:
    """One hash over names and contents of the converter's Python files."""
    found: list[Path] = []
    for part in _PARTS:
        path = folder / part
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for path in found:
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
