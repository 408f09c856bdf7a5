"""Which datasets can be opened: those met before, and those that are shipped.

A shipped dataset is copied into the workspace first, so that what is shipped stays as it is.
Knows paths. Does not know rows.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

import assets
from screens.widgets.modals import PickModal
from screens.widgets.topline import short_path
from store import datasets
from store.catalogue import Catalogue
from store.workspace import Workspace

STARTER = "starter:"
MOST_PATHS = 100
MOST_LOOKED = 20_000
"""Entries of a folder that are looked at for completion."""


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


class OpenModal(PickModal):
    """Choose a dataset, or type a path (completed with tab) or a pattern of several files."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", show=False, priority=True),
    ]

    def __init__(
        self,
        items: Sequence[tuple[str, str]],
        title: str = "Open a dataset",
        placeholder: str = "type to narrow; a path; or 'parts/*.jsonl', several as one",
    ) -> None:
        super().__init__(
            f"{title} · tab completes a path", items, placeholder=placeholder, free=True
        )
        self.known = tuple(items)

    def _fill(self, wanted: str) -> None:
        self.items = (*self.known, *((path, path) for path in paths_like(wanted)))
        super()._fill(wanted)

    def action_complete(self) -> None:
        """Write out what all paths have in common."""
        typed = self.query_one(Input)
        found = paths_like(typed.value)
        if found:
            typed.value = os.path.commonprefix(found)  # noqa: RUF071 - of names being typed
            typed.cursor_position = len(typed.value)


def paths_like(typed: str) -> list[str]:
    """Files and folders whose path begins like this, as it was typed; none for a bare word."""
    if ("/" not in typed and not typed.startswith("~")) or any(sign in typed for sign in "*?[,"):
        return []
    folder, begun = os.path.split(typed)
    try:
        with os.scandir(os.path.expanduser(folder or "/")) as entries:
            names = sorted(
                entry.name + ("/" if entry.is_dir() else "")
                for entry in itertools.islice(entries, MOST_LOOKED)
                if entry.name.startswith(begun) and (begun or not entry.name.startswith("."))
            )
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names[:MOST_PATHS]]


def locate(workspace: Workspace, value: str) -> Path | str:
    """The file (or pattern) behind a picked or typed value; a shipped one is copied first, once.

    Raises:
        OSError: the copy could not be made.
    """
    if not value.startswith(STARTER):
        return os.path.expanduser(value)
    name = f"{value.removeprefix(STARTER)}.jsonl"
    source = assets.path("datasets", name)
    target = workspace.root / "datasets" / name
    if not target.exists():
        target.parent.mkdir(mode=0o700, exist_ok=True)
        draft = target.with_suffix(".part")
        shutil.copyfile(source, draft)
        os.replace(draft, target)
    return target
