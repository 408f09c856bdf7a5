"""How commands speak: words for people, one JSON object for programs.

With `--json` the last line of standard output is one JSON object and nothing else is printed
there. Errors go to standard error: one line that says what is wrong, one that says what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from store.visible import visible

WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", metavar="DIR", help="Folder that holds the records.", show_default=False),
]
"""`--workspace DIR`, the same on every command."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
"""`--json`, the same on every command."""


def emit(obj: Mapping[str, object], json: bool, text: str | Iterable[str] = "") -> None:
    """Print the result of a command: `obj` as one JSON line, or `text` for people."""
    if json:
        import msgspec

        sys.stdout.write(msgspec.json.encode(obj).decode("utf-8", "surrogateescape") + "\n")
        return
    lines = [text] if isinstance(text, str) else text
    for line in lines:
        say(line)


def say(line: str) -> None:
    """Print one line for people; control bytes in it are made visible."""
    sys.stdout.write("\n".join(visible(part) for part in line.split("\n")) + "\n")
    sys.stdout.flush()


def complain(message: str, hint: str) -> None:
    """Print an error and the way out, on standard error."""
    sys.stderr.write(f"error: {visible(message)}\n hint: {visible(hint)}\n")


def table(rows: Iterable[Iterable[object]], header: Iterable[str]) -> list[str]:
    """Rows as aligned text, columns two spaces apart; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    kinds = list(map(list, zip(*rows, strict=True))) if isinstance(rows, list) and rows else []
    titles = list(header)
    widths = [
        max(len(title), *(len(row[i]) for row in cells)) if cells else len(title)
        for i, title in enumerate(titles)
    ]
    right = [bool(kinds) and all(isinstance(v, int | float) for v in kinds[i]) for i in range(len(titles))]
    lines = []
    for row in [titles, *cells]:
        parts = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        lines.append("  ".join(parts).rstrip())
    return lines


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
