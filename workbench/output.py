"""How commands speak: words for people, one JSON object for programs.

With `--json` the last line of standard output is one JSON object and nothing else is printed
there. Errors go to standard error: one line that says what is wrong, one that says what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TextIO

import typer

from store.visible import visible

# What a terminal obeys or is misled by and JSON need not escape, as escapes: the same values.
_ESCAPED = {
    code: f"\\u{code:04x}"
    for code in (*range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F))
} | {code: f"\\u{code:04x}" for code in range(0x2066, 0x206A)}


def _given_before(context: typer.Context, value: Path | None) -> Path | None:
    """What stands before the command holds for it as well."""
    given: Path | None = context.find_root().params.get("workspace")
    return value or given


WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        metavar="DIR",
        help="Folder that holds the records.",
        show_default=False,
        callback=_given_before,
    ),
]
"""`--workspace DIR`, the same on every command and before it."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
"""`--json`, the same on every command."""


def emit(
    obj: Mapping[str, object],
    json: bool,
    text: str | Iterable[str] = "",
    *,
    file: TextIO | None = None,
) -> None:
    """Print the result of a command: `obj` as one JSON line, or `text` for people.

    Args:
        file: where a JSON line goes instead of standard output.
    """
    if json:
        import msgspec

        line = msgspec.json.encode(obj).decode("utf-8", "surrogateescape")
        (file or sys.stdout).write(line.translate(_ESCAPED) + "\n")
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


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Rows as aligned text, columns two spaces apart; columns of numbers to the right."""
    lines = [list(header), *([_cell(value) for value in row] for row in rows)]
    columns = range(len(header))
    widths = [max(len(line[i]) for line in lines) for i in columns]
    numeric = [all(isinstance(row[i], int | float | None) for row in rows) for i in columns]
    return [
        "  ".join(
            line[i].rjust(widths[i]) if numeric[i] else line[i].ljust(widths[i]) for i in columns
        ).rstrip()
        for line in lines
    ]


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
