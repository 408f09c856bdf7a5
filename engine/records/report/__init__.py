"""A run as one file for people: what it was, how it went, and what that means.

`content` says what is told, as blocks without any format; `markdown` and `html` write them down.

    text = render(cat, run_id, "html")
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from engine.records.report import html, markdown
from engine.records.report.content import blocks
from engine.records.report.gathering import gather
from store.catalogue import Catalogue
from store.errors import Conflict, NotFound

Format = Literal["markdown", "html"]

MARK = "<!-- workbench report"
"""How every report begins, or nearly: what may be written over by the next one."""


def render(cat: Catalogue, run_id: int, kind: Format = "markdown") -> str:
    """The report of a run as it stands now.

    Raises:
        NotFound: no such run.
    """
    record = gather(cat, run_id)
    head = f"run {record.run.id} · {record.run.name}"
    write = html.write if kind == "html" else markdown.write
    return write(head, f"{MARK} of run {record.run.id} -->", blocks(record))


def save(path: Path, text: str) -> None:
    """Write a report, whole or not at all, perhaps over an earlier one.

    Raises:
        Conflict: something else lies there. NotFound: the folder does not exist.
    """
    if path.is_dir() or (path.exists() and not _is_report(path)):
        raise Conflict(f"{path}: exists, and is not a report", "Give --out another name.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except FileNotFoundError as error:
        raise NotFound(f"{path.parent}: no such folder", "Make it first.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(200)
