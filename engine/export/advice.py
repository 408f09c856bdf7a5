"""Which type to take: what the proofs of several measured, or what is usual before there is one.

Knows figures of proofs and published ones. Near the trained model divergences do not rank files
(arXiv 2606.19558): there the smallest is taken, and it is said that the others are alike. Does not
measure anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from engine.export.types import TYPES, ExportType
from store import exports
from store.catalogue import Catalogue
from store.exports import Export, Proof, Verdict

ALIKE_KL = 0.01
"""Mean KL (nats) up to which greedy answers and losses of public models do not change measurably;
about Q5_K_M of Llama-3-8B."""
LITTLE_KL = 0.05
LITTLE_SHARE = 0.05
"""Up to here a file loses little: about Q4_K_M of Llama-3-8B; a twentieth of the fine-tune."""
_SIGMAS = 2.0
_EXACT = 1e-3
"""Usual losses up to here say nothing of what a model is sensitive to."""
_FILES = ("gguf", "ollama")
_MEASURED = ("proved", "unproved")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured file.

    Attributes:
        export_id: None for a file that was made elsewhere.
        original: made on the base's own weights, not on those that training saw.
        bytes: of the file. memory: to run it.
        kl, top1: mean KL (nats) and top-1 agreement with the model as chatted.
        share_lost: KL as a share of what the fine-tune changed, or None.
        loss, change, error: held-out loss (nats a token), its change against the trained model's,
            and the standard error of that change; None where nothing was trained.
    """

    export_id: int | None
    path: str
    type: str
    original: bool
    bytes: int
    memory: int
    verdict: Verdict
    kl: float
    top1: float
    share_lost: float | None
    loss: float | None
    change: float | None
    error: float | None

    @property
    def alike(self) -> bool:
        """Whether it could not be told from the trained model."""
        if self.verdict == "fail" or self.kl > ALIKE_KL:
            return False
        return self.change is None or self.change <= _SIGMAS * (self.error or 0.0) + 1e-4

    @property
    def close(self) -> bool:
        """Whether it passed and loses little."""
        share = self.share_lost if self.share_lost is not None else 0.0
        return self.verdict == "pass" and self.kl <= LITTLE_KL and share <= LITTLE_SHARE

    def words(self) -> str:
        """What was measured: `KL 0.0031, 1.2 % of the fine-tune, loss +0.0004 ± 0.0008`."""
        said = [f"KL {self.kl:.2g}"]
        if self.share_lost is not None:
            said.append(f"{self.share_lost:.1%} of the fine-tune")
        if self.change is not None:
            error = f" ± {self.error:.4f}" if self.error is not None else ""
            said.append(f"loss {self.change:+.4f}{error}")
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class Advice:
    """The file to take, or None, and why."""

    row: Row | None
    sentence: str


def measured(cat: Catalogue, ref: str, beside: int = 0) -> list[Row]:
    """Rows for the newest export of each type of the model `ref`, the largest first.

    Args:
        ref: as exports record it, `run:12@400`.
    """
    newest: dict[tuple[str, bool], Export] = {}
    for export in exports.all(cat):
        if export.ref == ref and export.kind in _FILES and export.status in _MEASURED:
            original = export.provenance.get("merge") == "original"
            newest.setdefault((export.type, original), export)
    proofs = [(one, exports.proofs(cat, one.id)) for one in newest.values()]
    return rows_of(
        ((one, found[0] if found else None, one.bytes or 0) for one, found in proofs), beside
    )


def rows_of(found: Iterable[tuple[Export | None, Proof | None, int]], beside: int = 0) -> list[Row]:
    """A row for every file whose distributions were measured, the largest first.

    Args:
        found: export (None for a foreign file), its newest proof, and its bytes.
        beside: bytes that running takes beside the file (see `sizes`).
    """
    rows = []
    for export, proof, size in found:
        if proof is None or (export is not None and export.kind not in _FILES):
            continue
        stages = {stage["name"]: stage["numbers"] for stage in proof.stages}
        numbers = stages.get("end") or stages.get("logits") or {}
        if "kl_mean" not in numbers:
            continue
        loss, trained = numbers.get("loss_export"), numbers.get("loss_trained")
        rows.append(
            Row(
                export_id=export.id if export else None,
                path=proof.file,
                type=export.type if export else "foreign",
                original=export is not None and export.provenance.get("merge") == "original",
                bytes=size,
                memory=size + beside,
                verdict=proof.verdict,
                kl=numbers["kl_mean"],
                top1=numbers["top1"],
                share_lost=numbers.get("share_lost"),
                loss=loss,
                change=None if loss is None or trained is None else loss - trained,
                error=numbers.get("loss_error"),
            )
        )
    return sorted(rows, key=lambda row: row.bytes, reverse=True)


def recommend(rows: Sequence[Row], memory: int | None = None) -> Advice:
    """The smallest that cannot be told from the trained model, else the smallest that loses little.

    Args:
        memory: bytes that it must run in; None asks for nothing.
    """
    proved = [row for row in rows if row.verdict != "fail"]
    if not proved:
        return Advice(None, "None of these is proved: export again, or take another checkpoint.")
    fitting = [row for row in proved if memory is None or row.memory <= memory]
    if not fitting:
        least = min(proved, key=lambda row: row.memory)
        return Advice(
            None,
            f"None of these fits: {least.type} takes {_size(least.memory)} to run. "
            "Export a smaller type.",
        )
    smallest = sorted(fitting, key=lambda row: row.bytes)
    for row in smallest:
        if row.alike:
            return Advice(row, _alike_words(row, fitting))
    for row in smallest:
        if row.close:
            better = _nearest(proved)
            return Advice(
                row, f"{row.type} is the smallest that loses little: {row.words()}.{better}"
            )
    least = min(fitting, key=lambda row: row.kl)
    more = " A larger type that was proved does not fit." if len(fitting) < len(proved) else ""
    return Advice(least, f"{least.type} loses least, and not little: {least.words()}.{more}")


def _alike_words(row: Row, fitting: Sequence[Row]) -> str:
    others = [one.type for one in fitting if one.alike and one is not row]
    said = f"{row.type} is the smallest that cannot be told from the trained model: {row.words()}."
    if others:
        said += f" Nor can {', '.join(others)}: their order says nothing."
    return said


def _nearest(proved: Sequence[Row]) -> str:
    alike = [one for one in proved if one.alike]
    if not alike:
        return ""
    best = min(alike, key=lambda one: one.bytes)
    return f" {best.type} cannot be told from the trained model, in {_size(best.bytes)}."


def which_merge(rows: Sequence[Row]) -> str:
    """One sentence on faithful against original weights, where one type was made of both."""
    for row in rows:
        other = next((o for o in rows if o.original and o.type == row.type), None)
        if other is None or row.original:
            continue
        if row.alike and other.alike:
            return f"{row.type} on either weights cannot be told from the trained model."
        nearer, further = sorted((row, other), key=lambda one: one.kl)
        name = "the original weights" if nearer.original else "the weights of the training"
        return (
            f"{row.type} on {name} is nearer to what you chatted with: {nearer.words()} "
            f"against {further.words()}."
        )
    return ""


def scale(rows: Sequence[Row]) -> float | None:
    """How much more than usual this model loses, by its measured types; None without any."""
    types = TYPES["gguf"]
    usual = [(row.kl, _usual(types[row.type])) for row in rows if row.type in types]
    factors = [kl / known for kl, known in usual if known > _EXACT and kl > 0]
    return median(factors) if factors else None


def expected(type: ExportType, rows: Sequence[Row] = ()) -> float:
    """Mean KL (nats) to be expected of a type; what it measured where it did.

    Published figures, between which those of types without any are laid by their bits; scaled by
    what other types of this model measured.
    """
    for row in rows:
        if row.type == type.name and not row.original:
            return row.kl
    return _usual(type) * (scale(rows) or 1.0)


def _usual(type: ExportType) -> float:
    if type.usual is not None:
        return type.usual
    known = [one for one in TYPES["gguf"].values() if one.usual]
    above = min((o for o in known if o.bits >= type.bits), key=lambda o: o.bits)
    below = max((o for o in known if o.bits <= type.bits), key=lambda o: o.bits, default=None)
    if below is None:  # Two bits and less: twice as far for each third of a bit.
        lowest = min(known, key=lambda o: o.bits)
        return float(lowest.usual or 0.0) * 2 ** ((lowest.bits - type.bits) * 3)
    assert above.usual is not None
    assert below.usual is not None
    if above.bits == below.bits:
        return above.usual
    way = (above.bits - type.bits) / (above.bits - below.bits)
    return math.exp((1 - way) * math.log(above.usual) + way * math.log(below.usual))


def quality(kl: float) -> str:
    """How much is lost, in words."""
    for limit, said in (
        (0.002, "nothing to notice"),
        (0.02, "hardly anything"),
        (0.08, "a little"),
        (0.2, "noticeably much"),
    ):
        if kl <= limit:
            return said
    return "much"


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
