"""The prompts of a group: written out, from a file, or made from a table.

Knows how rows become prompts; those of a dataset are for `heldout`. Does not know checks.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.checks.kinds import filled, named
from engine.checks.reading import heldout
from engine.checks.reading.records import MOST, Prompt
from engine.checks.reading.source import Source
from engine.checks.reading.table import Line, Table
from store.errors import BadInput

KEYS = heldout.KEYS | {"prompts", "prompts_file", "prompt", "table", "system", "expect"}
_PROMPT_KEYS = frozenset({"prompt", "system", "expect", "weight", "tags", "cluster"})
_FIELD = re.compile(r"\{(\w+)\}")
_HEAVIEST = 1e6

Fields = Mapping[str, str]


def prompts(group: Table, source: Source) -> list[Prompt]:
    """Every prompt of a group.

    Raises:
        BadInput: one of them, or a file it comes from, breaks the format.
    """
    listed = group.values.get("prompts", [])
    if not isinstance(listed, list):
        raise group.bad("prompts", "a list", listed)
    at = (*group.place, "prompts")
    found = [_prompt(item, Table({}, (*at, i), source)) for i, item in enumerate(listed)]
    found += _from_file(group, source)
    found += _from_table(group, source)
    found += heldout.prompts(group, source)
    if len(found) > MOST:
        raise group.bad("", f"at most {MOST:,} prompts", len(found))
    return found


def _prompt(item: object, at: Table) -> Prompt:
    """A text alone, or a table of prompt, system, expect and more."""
    if isinstance(item, str):
        item = {"prompt": item}
    if not isinstance(item, dict):
        raise at.bad("", "a text, or prompt with system and expect", item)
    # None is what a program writes for nothing: not for the prompt itself.
    row = Table(
        {k: v for k, v in item.items() if v is not None or k == "prompt"}, at.place, at.source
    )
    row.only(_PROMPT_KEYS)
    return Prompt(
        row.text("prompt", filled=True),
        row.text("system") if "system" in row else None,
        row.text("expect") if "expect" in row else None,
        weight=weight(row),
        tags=row.texts("tags"),
        cluster=row.text("cluster"),
    )


def weight(table: Table) -> float:
    """How much a prompt or a group counts."""
    found = table.number("weight", 1.0)
    if found is None or not 0 < found <= _HEAVIEST:
        raise table.bad("weight", f"a number above 0, at most {_HEAVIEST:,.0f}", found)
    return found


def _file(group: Table, key: str, source: Source, what: str) -> Path | None:
    if key not in group:
        return None
    path = source.beside(group.text(key))
    if path is None:
        raise group.bad(key, f"the name of a {what} beside the suite", group.values[key])
    return path


def _from_file(group: Table, source: Source) -> list[Prompt]:
    path = _file(group, "prompts_file", source, "JSONL file")
    if path is None:
        return []
    return [_prompt(item, Table({}, (), line)) for line, item in _json_rows(path, source)]


def _json_rows(path: Path, source: Source) -> Iterator[tuple[Line, object]]:
    for number, raw in enumerate(source.read(path).split(b"\n"), 1):
        if raw.strip():
            try:
                yield Line(path, number, source.hint), json.loads(raw)
            except (ValueError, RecursionError) as error:
                raise BadInput(f"{path}, line {number}: not JSON: {error}", source.hint) from error


def _from_table(group: Table, source: Source) -> list[Prompt]:
    """Each template with each row. Prompts of one template are alike: they share a cluster."""
    path = _file(group, "table", source, "CSV or JSONL file")
    if path is None:
        for key in ("prompt", "system", "expect"):
            if key in group:
                raise group.bad(key, "a `table` whose rows fill it in, or `prompts` instead")
        return []
    if "prompt" not in group:
        raise group.bad("prompt", "a template, or a list of templates, for the rows of `table`")
    templates = (
        (group.text("prompt", filled=True),)
        if isinstance(group.values["prompt"], str)
        else group.texts("prompt")
    )
    rows = list(_csv_rows(path, source) if path.suffix == ".csv" else _text_rows(path, source))
    return [
        _made(group, template, f"{group.place[-1]}.{number}", fields, line)
        for number, template in enumerate(templates)
        for line, fields in rows
    ]


def _made(group: Table, template: str, cluster: str, fields: Fields, line: Line) -> Prompt:
    def fill(key: str, text: str) -> str:
        for name in sorted(named(text)):
            if name not in fields:
                known = ", ".join(fields)
                raise group.bad(key, f"columns of the table ({known})", f"{{{name}}}")
        return filled(text, fields)

    text = fill("prompt", template)
    if not text.strip():
        raise line.bad((), "columns that make a prompt which is not empty")
    system = fill("system", group.text("system")) if "system" in group else fields.get("system")
    expect = fill("expect", group.text("expect")) if "expect" in group else fields.get("expect")
    wordless = not re.search(r"\w", _FIELD.sub("", template))
    return Prompt(
        text, system, expect, columns=tuple(fields.items()), cluster="" if wordless else cluster
    )


def _csv_rows(path: Path, source: Source) -> Iterator[tuple[Line, Fields]]:
    try:
        text = source.read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 at byte {error.start + 1}", source.hint) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(reader, [])
        top = Line(path, 1, source.hint)
        if (
            not names
            or len({*names}) < len(names)
            or not all(re.fullmatch(r"\w+", n) for n in names)
        ):
            raise top.bad((), "a name for each column, of letters, digits and _", ", ".join(names))
        for row in reader:
            line = Line(path, reader.line_num, source.hint)
            if row and len(row) != len(names):
                raise line.bad((), f"{len(names)} columns", len(row))
            if row:
                yield line, dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num}: not CSV: {error}", source.hint) from error


def _text_rows(path: Path, source: Source) -> Iterator[tuple[Line, Fields]]:
    for line, item in _json_rows(path, source):
        if not isinstance(item, dict):
            raise line.bad((), "a table of columns", item)
        for key, value in item.items():
            if not isinstance(value, str | int | float) or isinstance(value, bool):
                raise line.bad((key,), "a text or a number", value)
        yield line, {key: str(value) for key, value in item.items()}
