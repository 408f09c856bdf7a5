"""Prompts from the rows of a dataset: the turns up to the last answer ask, the answer is expected.

Knows the shipped held-out files, files beside the suite, and the recorded splits of datasets that
the workspace knows. Rows that a split keeps together are alike: they share a cluster.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

import assets
from engine.checks.reading.records import MOST, Prompt
from engine.checks.reading.source import Source
from engine.checks.reading.table import Line, Table
from engine.data.dataset import open_dataset
from engine.data.rows import Row, parse_row
from engine.data.split.assign import Placer, keys_of, parsed
from store import datasets, splits
from store.errors import BadInput

KEYS = frozenset({"dataset", "split", "n", "seed", "cluster"})
_PARTS = {"train": ("train",), "eval": ("eval",), "test": ("test",), "heldout": ("eval", "test")}


@dataclass(frozen=True, slots=True)
class _Held:
    """A row that may ask; `alike` is what it shares with others."""

    line: Line
    row: Row
    alike: str = ""


def prompts(group: Table, source: Source) -> list[Prompt]:
    """The rows that a group names, in their order; `n` of them are drawn by `seed`.

    Raises:
        BadInput: there is no such dataset or split, or a row cannot ask.
    """
    if "dataset" not in group:
        for key in ("n", "seed", "split", "cluster"):
            if key in group:
                raise group.bad(key, "a `dataset` that it is about")
        return []
    rows, named = _rows(group, source)
    wanted = group.whole("n", len(rows) or 1, 1, MOST)
    seed = group.whole("seed", 0, 0, 2**63 - 1)
    if wanted > len(rows):
        raise group.bad("n", f"at most the {len(rows):,} rows of {named}", wanted)
    drawn = sorted(rows, key=lambda one: hashlib.sha256(b"%d\0%s" % (seed, one.row.raw)).digest())
    by = group.text("cluster")
    chosen = sorted(drawn[:wanted], key=lambda one: one.line.number)
    return [_prompt(one, f"{group.place[-1]}.", by) for one in chosen]


def _rows(group: Table, source: Source) -> tuple[list[_Held], str]:
    """The rows to draw from, and what they are called."""
    name, split = group.text("dataset", filled=True), group.text("split")
    if split and split not in _PARTS:
        raise group.bad("split", f"one of {', '.join(_PARTS)}", split)
    shipped = {p.stem: p for p in sorted(assets.path("datasets").glob("*.heldout.jsonl"))}
    asked = name.removesuffix(".jsonl")
    if split == "heldout" and f"{asked}.heldout" in shipped and not _known(name, source):
        asked, split = f"{asked}.heldout", ""
    if split:
        return _part(group, source, name, split)
    path = shipped.get(asked) or source.beside(name)
    if path is None:
        known = f"a JSONL file beside the suite, or {', '.join(shipped)}"
        raise group.bad("dataset", f"{known}; or with `split` one of the workspace", name)
    lines = source.read(path, listed=asked not in shipped).split(b"\n")
    found = [
        _Held(Line(path, number, source.hint), parse_row(number, raw.rstrip(b"\r")))
        for number, raw in enumerate(lines, 1)
        if raw.strip()
    ]
    return found, path.name


def _known(name: str, source: Source) -> list[datasets.Dataset]:
    """The datasets of the workspace with this name or path, without its ending too."""
    if source.cat is None:
        return []
    path = str(Path(name).expanduser())
    return [
        one
        for one in datasets.all(source.cat)
        if path == one.path or name in (one.name, one.name.partition(".")[0])
    ]


def _part(group: Table, source: Source, name: str, split: str) -> tuple[list[_Held], str]:
    """The rows that a recorded split put into a part."""
    if source.cat is None:
        what = "no `split` where no workspace is known, as in training"
        raise group.bad("split", f"{what}: write the part out with `workbench data split`")
    found = [one for one in _known(name, source) if Path(one.path).is_file()]
    if len(found) != 1:
        every = ", ".join(one.path for one in found or datasets.all(source.cat)[:8])
        which = "one of them by its path" if found else "a dataset that the workspace knows"
        raise group.bad("dataset", f"{which} ({every or 'it knows none'})", name)
    path = Path(found[0].path)
    held = splits.current(source.cat, found[0].id)
    if held is None:
        fix = f"workbench data split {path} --train 0.8 --eval 0.1 --test 0.1"
        raise group.bad("split", f"a dataset with a recorded split ({fix})", path.name)
    placer = Placer(held)
    rows = []
    with closing(open_dataset(source.cat, path)) as document:
        document.grow()
        for row in parsed(document):
            if placer.part_of(row) in _PARTS[split]:
                source.covers(row.raw)
                rows.append(_Held(Line(path, row.number, source.hint), row, _alike(row, held)))
    if not rows:
        raise group.bad("split", f"rows in {split} of {path.name}", "none")
    return rows, f"{split} of {path.name}"


def _alike(row: Row, held: splits.Split) -> str:
    """The group that a split keeps a row in; empty where rows stand alone."""
    return str(next(filter(None, keys_of(row, held.rule)), "")) if held.rule.group_by else ""


def _prompt(held: _Held, prefix: str, by: str) -> Prompt:
    row, line = held.row, held.line
    if row.error is not None:
        raise BadInput(f"{line.path}, {row.error}", "Repair it with `workbench data`.")
    turns = list(row.turns)
    last = max((i for i, turn in enumerate(turns) if turn.role == "assistant"), default=0)
    if last == 0 or turns[last - 1].role != "user":
        raise line.bad((), "a user's turn with an answer after it")
    system = turns.pop(0) if turns[0].role == "system" else None
    last -= system is not None
    alike = _value(row.raw, by, line) if by else held.alike
    return Prompt(
        turns[last - 1].text,
        system.text if system else None,
        turns[last].text,
        before=tuple(turns[: last - 1]),
        cluster=f"{prefix}{alike}" if alike else "",
    )


def _value(raw: bytes, dotted: str, line: Line) -> str:
    """The field of a row that says which rows are alike, a path as meta.topic."""
    value: object = msgspec.json.decode(raw)
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        raise line.bad((), f"`{dotted}` on every row: it says which are alike")
    return str(value)
