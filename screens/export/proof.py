"""Exports as lines, and a proof as one reads it: stage by stage, while it runs and afterwards.

Knows how a stage is worded. Does not know how anything is proved.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec
from textual.content import Content

from engine.export import client
from engine.export.stages import Stage
from screens.safe import text, visible
from screens.widgets import words
from screens.widgets.linelist import Cells, LineList
from screens.widgets.topline import short_path
from store import exports
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.exports import Export, Proof

STAGES: dict[str, str] = {
    "base": "base unchanged",
    "write": "write",
    "quantise": "quantise",
    "file": "file unchanged",
    "load": "load",
    "tokens": "token ids",
    "template": "chat template",
    "stops": "stop tokens",
    "logits": "logits",
    "greedy": "greedy answers",
}
"""What each stage compares, in words."""

SAID = {
    "pass": "proved: it answers like the model that was trained",
    "warn": "proved, with something to look at",
    "fail": "not proved: kept under a name that says so",
}


@dataclass(frozen=True, slots=True)
class Record:
    """An export with its newest proof, and whether its file is still there."""

    export: Export
    proof: Proof | None
    present: bool


def read_records(cat: Catalogue) -> list[Record]:
    """Every export, newest first."""
    return [
        Record(export, client.proof_of(cat, export), Path(export.path).exists())
        for export in exports.all(cat)
    ]


def stages_of(proof: Proof) -> list[Stage]:
    """The kept stages as the engine's own records."""
    return msgspec.convert(proof.stages, list[Stage], strict=False)


def stage_lines(stages: Iterable[Stage], width: int) -> list[Content]:
    """One line a stage, a second one with a bar while it runs."""
    label = max(map(len, STAGES.values())) + 2
    lines = []
    for stage in stages:
        name = STAGES.get(stage.name, visible(stage.name)).ljust(label)
        running = stage.state == "running"
        sign, colour = ("▸", "$accent") if running else words.STATES[stage.state]
        tone = "$foreground 60%" if running else "" if stage.state == "pass" else colour
        first, *rest = textwrap.wrap(visible(stage.text), max(width - label - 3, 20)) or [""]
        lines.append(
            Content.assemble(
                (f"{sign} ", f"{colour} bold"), (name, "bold" if running else ""), (first, tone)
            )
        )
        lines += [Content.styled(" " * (label + 2) + more, tone) for more in rest]
        total = stage.numbers.get("total", 0)
        if running and total:
            share = stage.numbers.get("done", 0) / total
            length = max(width - label - 3, 8)
            lines.append(Content(" " * (label + 2)) + words.bar(share, length))
    return lines


def proof_words(record: Record, width: int) -> Content:
    """A finished export: verdict, stages, file."""
    export, proof = record.export, record.proof
    lines: list[Content] = []
    if proof is not None:
        lines += stage_lines(stages_of(proof), width)
        lines += [Content(""), words.state(proof.verdict, SAID[proof.verdict])]
    elif export.status == "failed":
        lines.append(words.state("failed", "nothing was written; export it again"))
    else:
        lines.append(words.state(export.status))
    lines += ["", *_facts(record)]  # type: ignore[list-item]
    return Content("\n").join(lines)


def _facts(record: Record) -> list[Content]:
    export, proof = record.export, record.proof
    path = Path(export.path)
    facts = [("file", path.name), ("in", short_path(path.parent))]
    if not record.present and export.status in ("proved", "unproved"):
        facts.append(("", "this file is not there any more"))
    if export.bytes is not None:
        facts.append(("size", f"{words.size(export.bytes)}  ({export.bytes:,} bytes)"))
    if export.sha256:
        facts.append(("sha256", f"{export.sha256[:16]}…"))
    facts.append(("model", export.ref))
    if proof is not None:
        facts.append(("proved", words.age(words.now() - proof.created)))
    return [
        Content.styled(name.ljust(9), "$foreground 60%") + text(value, limit=2000)
        for name, value in facts
    ]


def error_words(error: WorkbenchError) -> Content:
    """What went wrong and what to do, inside the pane."""
    return Content("\n").join(
        [
            Content.assemble(("✗ ", "$text-error bold")) + text(error.message, limit=2000),
            text(error.hint, "$foreground 60%", limit=2000),
        ]
    )


class ExportList(LineList):
    """Past exports: name, type, size, verdict, age."""

    RIGHT: ClassVar[int] = 9 + 6 + 10 + 12 + 12

    def __init__(self) -> None:
        super().__init__(widget_id="export-list")
        self.records: Sequence[Record] = ()

    def show(self, records: Sequence[Record]) -> None:
        """Take over new records."""
        self.records = records
        self.count = len(records)
        self.forget()

    @property
    def current(self) -> Record | None:
        """The export under the cursor."""
        return self.records[self.cursor] if self.cursor < len(self.records) else None

    def cells(self, index: int, width: int) -> Cells:
        export = self.records[index].export
        name = visible(Path(export.path).name)
        kind = export.kind.ljust(9) if width >= 72 else ""
        room = max(width - self.RIGHT + 7 - len(kind), 10)
        name = name if len(name) <= room else name[: room - 1] + "…"
        sign = words.STATES[export.status][0]
        tone = {"✓": "good", "✗": "bad", "▶": "accent"}.get(sign, "warn")
        size = words.size(export.bytes) if export.bytes is not None else "–"
        return [
            (f" {name.ljust(room)} ", "plain" if self.records[index].present else "muted"),
            (kind, "muted"),
            (export.type.ljust(6), "muted"),
            (size.rjust(9) + " ", "plain"),
            (f"{sign} {export.status}".ljust(12), tone),
            (words.age(words.now() - (export.finished or export.created)).rjust(12), "muted"),
        ]
