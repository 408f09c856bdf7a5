"""A dataset: one file, or several that are read as one.

Knows how a name on the command line becomes a dataset. Does not know what is in it: `Document`
and `Several` have the same public methods.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path

from engine.data.document import Document
from engine.data.journal.changes import (
    Annotation,
    Change,
    Changed,
    Delete,
    FileRun,
    Insert,
    OwnLine,
    Place,
    Replace,
    Status,
    Step,
    VersionInfo,
)
from engine.data.journal.overlay import Choice
from engine.data.several import Several
from store.catalogue import Catalogue
from store.errors import BadInput, NotFound

__all__ = [
    "Annotation",
    "Change",
    "Changed",
    "Choice",
    "Dataset",
    "Delete",
    "Document",
    "FileRun",
    "Insert",
    "OwnLine",
    "Place",
    "Replace",
    "Several",
    "Status",
    "Step",
    "VersionInfo",
    "discard",
    "files_of",
    "open_dataset",
]

Dataset = Document | Several
_WILD = "*?["


def open_dataset(
    cat: Catalogue, where: str | Path, *, force: bool = False, choice: Choice = "ask"
) -> Dataset:
    """Open a file, or several as one.

    Args:
        where: a path, a pattern ('parts/*.jsonl'), or paths joined by commas. A file that has
            exactly that name wins.
        force: as `choice="mine"`.
        choice: what to do with unsaved edits where a file was changed underneath them; see
            `Document.open`.
    Raises:
        NotFound: there is no such file, or no file fits the pattern.
        BadInput: it is a folder, or not something that can be read.
        Conflict: it was changed outside where unsaved edits are.
    """
    paths = files_of(where)
    if len(paths) == 1:
        return Document.open(cat, paths[0], force=force, choice=choice)
    return Several.open(cat, os.fspath(where), paths, force=force, choice=choice)


def discard(cat: Catalogue, where: str | Path) -> int:
    """Drop the unsaved edits of all files that `where` names; returns how many there were."""
    return sum(Document.discard(cat, path) for path in files_of(where))


def files_of(where: str | Path) -> list[Path]:
    """The files that `where` names, in order, each once.

    Raises:
        NotFound, BadInput: see `open_dataset`.
    """
    text = os.fspath(where)
    if os.path.isdir(text):
        raise BadInput(
            f"{text}: a folder; expected a file",
            f"name the files in it with a pattern, as '{text.rstrip('/')}/*.jsonl'",
        )
    if os.path.lexists(text) or not any(sign in text for sign in f"{_WILD},"):
        return [Path(text)]
    found: list[Path] = []
    for part in text.split(",") if "," in text else [text]:
        found += _fitting(part.strip())
    unique = list(dict.fromkeys(Path(os.path.realpath(path)) for path in found))
    if not unique:
        raise NotFound(f"{text}: no file fits this pattern", "check the pattern and try again")
    return unique


def _fitting(part: str) -> list[Path]:
    if not part:
        return []
    if os.path.lexists(part) or not any(sign in part for sign in _WILD):
        return [Path(part)]
    names = sorted(glob.glob(part, recursive=True))
    return [Path(name) for name in names if not os.path.isdir(name)]
