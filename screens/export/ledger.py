"""Every export and every foreign file that was verified, as lines with what was found out of each.

Knows records and how one is laid into a width. Does not write, prove or delete anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.export import client
from engine.export.stages import Stage
from screens.safe import visible
from screens.widgets import words
from screens.widgets.linelist import Cells, LineList
from store import exports
from store.catalogue import Catalogue
from store.exports import Export, Proof

STATUS = {"pass": "proved", "warn": "proved", "fail": "unproved"}
"""What a verdict makes of a file that somebody else wrote."""


@dataclass(frozen=True, slots=True)
class Record:
    """An export with its newest proof, or a foreign file with it.

    Attributes:
        export: None for a file that was made elsewhere.
        present: whether something lies under its name.
        bytes: its size; None where it is not known.
    """

    path: Path
    ref: str
    export: Export | None
    proof: Proof | None
    present: bool
    bytes: int | None
    moment: float

    @property
    def status(self) -> str:
        """`running`, `proved`, `unproved` or `failed`."""
        if self.export is not None:
            return self.export.status
        return STATUS[self.proof.verdict] if self.proof else "failed"

    @property
    def kind(self) -> str:
        """What was written: `gguf`, `merged`, …; of a foreign file by what it is."""
        if self.export is not None:
            return self.export.kind
        return "gguf" if self.path.suffix == ".gguf" else "merged"

    @property
    def made_of(self) -> str:
        """Kind and type in a word or two; a GGUF says its type alone."""
        if self.export is None:
            return "foreign"
        kind, name = self.export.kind, self.export.type
        return name if kind == "gguf" else kind if kind.startswith("adapter") else f"{kind} {name}"

    @property
    def original(self) -> bool:
        """Whether the adapter was put on the base's own weights instead of what training saw."""
        return self.export is not None and self.export.provenance.get("merge") == "original"

    @property
    def key(self) -> tuple[int | None, str]:
        """What stays the same while records come and go."""
        return self.export.id if self.export else None, str(self.path)

    @property
    def gguf(self) -> Path | None:
        """The file that llama.cpp opens by itself, if there is one."""
        if not self.present:
            return None
        whole = {"gguf": self.path, "ollama": self.path / "model.gguf"}
        return whole.get(self.kind)


def read_records(cat: Catalogue) -> list[Record]:
    """Every export and the newest proof of every foreign file, newest first."""
    found = [_of_export(cat, export) for export in client.listed(cat)]
    foreign: dict[str, Proof] = {}
    for proof in exports.proofs(cat):
        if proof.export_id is None:
            foreign.setdefault(proof.file, proof)
    found += [_of_proof(proof) for proof in foreign.values()]
    return sorted(found, key=lambda record: record.moment, reverse=True)


def _of_export(cat: Catalogue, export: Export) -> Record:
    path = Path(export.path)
    return Record(
        path, export.ref, export, client.proof_of(cat, export), path.exists(), export.bytes,
        export.finished or export.created,
    )  # fmt: skip


def _of_proof(proof: Proof) -> Record:
    path = Path(proof.file)
    size = path.stat().st_size if path.is_file() else None
    return Record(path, proof.against, None, proof, path.exists(), size, proof.created)


def stages_of(proof: Proof) -> list[Stage]:
    """The kept stages as the engine's own records."""
    return msgspec.convert(proof.stages, list[Stage], strict=False)


def figures(proof: Proof | None) -> dict[str, float]:
    """What the comparison with the model as it was chatted with measured; empty without one."""
    found = {} if proof is None else {stage.name: stage.numbers for stage in stages_of(proof)}
    return found.get("end") or found.get("logits") or {}


def divergence(value: float) -> str:
    """A mean KL as one reads it: `0.0078`, `2.1e-8`."""
    if value < 0:
        return "0"
    return f"{value:.2g}" if value >= 1e-4 or value == 0 else f"{value:.0e}".replace("e-0", "e-")


class ExportList(LineList):
    """Past exports: name, type, size, divergence, verdict, age."""

    MADE, SIZE, KL, STATE, AGE = 13, 9, 9, 12, 13
    MODEL = 20  # where there is room

    def __init__(self) -> None:
        super().__init__(widget_id="export-list")
        self.records: Sequence[Record] = ()

    def show(self, records: Sequence[Record]) -> None:
        """Take over new records; the cursor stays on its own."""
        held = self.current.key if self.current else None
        self.records = records
        self.count = len(records)
        places = [place for place, record in enumerate(records) if record.key == held]
        if places:
            self.cursor = places[0]
        self.forget()

    def choose(self, path: Path) -> None:
        """Put the cursor on the newest record of a file."""
        for place, record in reversed(list(enumerate(self.records))):
            if record.path == path:
                self.cursor = place

    @property
    def current(self) -> Record | None:
        """The record under the cursor."""
        return self.records[self.cursor] if self.cursor < len(self.records) else None

    @classmethod
    def heading(cls, width: int) -> str:
        """Names of the columns, above them."""
        name = cls._room(width)
        return (
            f" {'file'.ljust(name)} {'model'.ljust(cls._model(width))[: cls._model(width)]}"
            f"{'type'.ljust(cls.MADE)}{'size'.rjust(cls.SIZE)}"
            f"{'KL'.rjust(cls.KL)}  {'proof'.ljust(cls.STATE)}{'when'.rjust(cls.AGE - 3)} "
        )

    @classmethod
    def _room(cls, width: int) -> int:
        fixed = cls.MADE + cls.SIZE + cls.KL + cls.STATE + cls.AGE + 2
        return max(width - fixed - cls._model(width), 10)

    @classmethod
    def _model(cls, width: int) -> int:
        return cls.MODEL if width >= 110 else 0

    def cells(self, index: int, width: int) -> Cells:
        record = self.records[index]
        room = self._room(width)
        sign = words.STATES[record.status][0]
        tone = {"✓": "good", "✗": "bad", "▶": "accent"}.get(sign, "warn")
        state = f"{sign} {record.status}"
        if record.proof is not None and record.proof.verdict == "warn":
            state, tone = "! proved", "warn"
        if not record.present and record.status in ("proved", "unproved"):
            state, tone = "· gone", "muted"
        size = words.size(record.bytes) if record.bytes is not None else "–"
        kl = figures(record.proof).get("kl_mean")
        made = record.made_of + ("°" if record.original else "")
        return [
            (
                f" {_cut(visible(record.path.name), room + 1)}",
                "plain" if record.present else "muted",
            ),
            (_cut(visible(record.ref), self._model(width)), "muted"),
            (visible(made)[: self.MADE - 1].ljust(self.MADE), "muted"),
            (size.rjust(self.SIZE), "plain" if record.present else "muted"),
            (("–" if kl is None else divergence(kl)).rjust(self.KL) + "  ", "muted"),
            (state.ljust(self.STATE), tone),
            (words.age(words.now() - record.moment).rjust(self.AGE - 3) + " ", "muted"),
        ]


def _cut(name: str, room: int) -> str:
    """The end of a name, which tells files apart, and a space after it."""
    if room < 2:
        return ""
    return (name if len(name) < room else "…" + name[len(name) - room + 2 :]).ljust(room)
