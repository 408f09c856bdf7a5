"""Which datasets can be opened: those met before, and those that are shipped.

A shipped dataset is copied into the workspace first, so that what is shipped stays as it is.
Knows paths. Does not know rows.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import assets
from screens.widgets.topline import short_path
from store import datasets
from store.catalogue import Catalogue
from store.workspace import Workspace

STARTER = "starter:"


def choices(cat: Catalogue) -> list[tuple[str, str]]:
    """(value, label) pairs for a picker: recent files first, then shipped starter datasets."""
    recent = [
        (known.path, f"{known.name:<24} {_rows(known.rows):>8}  {short_path(Path(known.path))}")
        for known in datasets.all(cat)
    ]
    shipped = [
        (f"{STARTER}{path.stem}", f"{path.name:<24} {'starter':>8}  copied into the workspace")
        for path in sorted(assets.path("datasets").glob("*.jsonl"))
        if "heldout" not in path.name
    ]
    return recent + shipped


def _rows(rows: int | None) -> str:
    return f"{rows:,}" if rows is not None else "–"


def locate(workspace: Workspace, value: str) -> Path:
    """The file behind a picked or typed value; a shipped one is copied first, once.

    Raises:
        OSError: the copy could not be made.
    """
    if not value.startswith(STARTER):
        return Path(value).expanduser()
    name = f"{value.removeprefix(STARTER)}.jsonl"
    source = assets.path("datasets", name)
    target = workspace.root / "datasets" / name
    if not target.exists():
        target.parent.mkdir(mode=0o700, exist_ok=True)
        draft = target.with_suffix(".part")
        shutil.copyfile(source, draft)
        os.replace(draft, target)
    return target
