"""Where a run came from: what was typed, where, on which version of what.

Written into the run's folder as `origin.json` when the run is made, so that it travels with it and
no later extension changes it. Knows the command line, git, and hashes of files. Holds no secrets
(see `secrets`). What the run itself is told is in `spec.json`; how it went, in its database.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

import engine
from engine.data.dataset import files_of
from engine.models.folder import file_sha256
from engine.records.secrets import redacted_words

FILE = "origin.json"

_GIT_S = 2.0
_CONFIG = "config.json"
_SMALL = (
    _CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "added_tokens.json",
    "model.safetensors.index.json",
)
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED")
_VARIABLE_KINDS = ("PYTORCH_", "CUBLAS_", "KMP_", "BNB_")


class Git(msgspec.Struct, frozen=True):
    """The commit of a folder. `dirty`: tracked files differ from it; None where git was too slow.

    No remote is kept: its address may hold a password.
    """

    folder: str
    commit: str
    dirty: bool | None


class Data(msgspec.Struct, frozen=True):
    """A file as it was when its rows were frozen; unsaved edits are in the snapshot alone."""

    path: str
    bytes: int
    sha256: str


class Origin(msgspec.Struct, frozen=True):
    """See the module.

    Attributes:
        argv: the command line without its secrets; folder: where it was typed.
        git: of that folder, else of the dataset's; None where neither is in git.
        program: Workbench's version, and its commit where it runs from a checkout.
        data: the dataset's files.
        base_files: the base's small files by name, with their hashes; its weights have one in
            `spec.json`.
        environment: variables that can change what is computed.
        asked: the recipe before the engine chose what it left open.
        repeats: the run that this one repeats (see `reproducing`).
        source: what an imported run was read from, with its hash.
    """

    argv: tuple[str, ...] = ()
    folder: str = ""
    git: Git | None = None
    program: str = ""
    program_git: Git | None = None
    data: tuple[Data, ...] = ()
    base_files: dict[str, str] = {}
    environment: dict[str, str] = {}
    asked: dict[str, Any] = {}
    repeats: int | None = None
    source: Data | None = None


def here(
    *,
    data: str | Path | None = None,
    base: Path | None = None,
    asked: Mapping[str, Any] | None = None,
    repeats: int | None = None,
    source: Path | None = None,
) -> Origin:
    """Look around, where a run is made. What cannot be read is left out; nothing is refused."""
    folder = os.getcwd()
    files = _data(data) if data is not None else ()
    git = commit_of(Path(folder))
    if git is None and files:
        git = commit_of(Path(files[0].path).parent)
    return Origin(
        argv=redacted_words(sys.argv),
        folder=folder,
        git=git,
        program=_version(),
        program_git=commit_of(Path(engine.__file__).parent),
        data=files,
        base_files=_base_files(base) if base is not None else {},
        environment=_environment(),
        asked=dict(asked or {}),
        repeats=repeats,
        source=_file(source) if source is not None else None,
    )


def write(run_dir: Path, origin: Origin) -> None:
    """Write `origin.json`, whole or not at all."""
    temporary = run_dir / f"{FILE}.tmp"
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(origin), indent=2))
    os.replace(temporary, run_dir / FILE)


def read(run_dir: Path) -> Origin | None:
    """What was written; None for runs from before there was such a record, or a damaged one."""
    try:
        return msgspec.json.decode((run_dir / FILE).read_bytes(), type=Origin)
    except (OSError, msgspec.DecodeError):
        return None


def same_config(run_dir: Path, base: Path) -> bool:
    """Whether the base's config.json is as it was when the run was made; True where unknown."""
    came_from = read(run_dir)
    recorded = came_from.base_files.get(_CONFIG) if came_from is not None else None
    config = base / _CONFIG
    return recorded is None or (config.is_file() and file_sha256(config) == recorded)


def commit_of(folder: Path) -> Git | None:
    """The commit that a folder stands on; None outside of git, or without it.

    Its hooks and its file monitor are not run.
    """
    named = _git(folder, "rev-parse", "--show-toplevel", "HEAD")
    if named is None or len(lines := named.splitlines()) != 2:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return Git(lines[0], lines[1], None if changed is None else bool(changed.strip()))


def _git(folder: Path, *words: str) -> str | None:
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *words]
    plain = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **plain},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")


def _data(where: str | Path) -> tuple[Data, ...]:
    return tuple(found for path in files_of(where) if (found := _file(path)) is not None)


def _file(path: Path) -> Data | None:
    try:
        return Data(os.path.abspath(path), path.stat().st_size, file_sha256(path))
    except OSError:
        return None


def _base_files(base: Path) -> dict[str, str]:
    return {name: file_sha256(base / name) for name in _SMALL if (base / name).is_file()}


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name in _VARIABLES or name.startswith(_VARIABLE_KINDS)
    }


def _version() -> str:
    try:
        return importlib.metadata.version("workbench-llm")
    except importlib.metadata.PackageNotFoundError:
        return ""
