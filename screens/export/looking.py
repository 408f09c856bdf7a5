"""What there is to choose from: every type of a kind with its size, what runs it and what it loses.

Knows the engine's calls and puts their answers side by side; runs in a worker thread. Does not
weigh anything itself and draws nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.export import advice
from engine.export import plan as planning
from engine.export import sizes as sizing
from engine.export.advice import Row
from engine.export.files import taken
from engine.export.plan import Plan
from engine.export.stages import Merge, Source
from engine.export.types import TYPES, ExportType
from engine.models import refs
from screens.widgets import words
from store import exports, runs
from store.catalogue import Catalogue
from store.errors import BadInput, WorkbenchError
from store.exports import Kind

LLAMA: tuple[Kind, ...] = ("gguf", "ollama")
"""What llama.cpp runs by itself: here memory and context count."""


@dataclass(frozen=True, slots=True)
class Wish:
    """An export as the form describes it.

    Attributes:
        types: what is ticked; empty for what is recommended.
        out: None lets the engine choose names.
        memory: of the machine that shall run it, in a person's words; empty for any.
        context: tokens to be held at once, as typed.
        shard: size of the parts that files are divided into, as typed; empty divides nothing.
        llama_cpp: a checkout of llama.cpp whose converter is to write the files.
    """

    ref: str
    to: Kind
    types: tuple[str, ...] = ()
    merge: Merge = "faithful"
    out: Path | None = None
    memory: str = ""
    context: str = ""
    shard: str = ""
    llama_cpp: Path | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """One type.

    Attributes:
        bytes: of the file, about.
        memory: bytes to run it; None where that is another program's matter.
        fits: whether the named machine runs it; None where none is named.
        expected: mean KL (nats) to expect; None where it is only rounded.
        row: what the newest export of this model in this type measured.
    """

    type: ExportType
    bytes: int
    memory: int | None
    fits: bool | None
    expected: float | None
    row: Row | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """All offers of a kind, and what would be written of those that are ticked.

    Attributes:
        best, reason: the recommended type and why; empty where none can be recommended.
        context: tokens that `Offer.memory` is told for; 0 where that does not matter.
        nf4: whether training held the base in 4 bit, so that there is a choice of weights.
        merges: which weights to take, once both were measured.
        scaled: whether what to expect follows from other exports of this model.
        plan: None while it cannot be written, for the reason in `error`.
        replaced: earlier exports that would be replaced; only after asking.
        free: bytes on the disk that is written to.
    """

    wish: Wish
    offers: tuple[Offer, ...]
    best: str
    reason: str
    context: int
    nf4: bool
    merges: str
    scaled: bool
    plan: Plan | None
    replaced: tuple[Path, ...]
    error: WorkbenchError | None
    free: int


def look(cat: Catalogue, wish: Wish) -> Outlook:
    """Everything that the form shows of a wish.

    Raises:
        WorkbenchError: the model cannot be exported at all, or a field makes no sense.
    """
    source = planning.source_of(cat, refs.whole(refs.resolve(cat, wish.ref)))
    rows = advice.measured(cat, source.ref)
    if wish.to in LLAMA:
        offers, best, reason, context = _for_llama(cat, wish, rows)
    else:
        offers, best, reason, context = (*_for_others(wish, source), 0)
    plan, error = None, None
    try:
        plan = planning.make(
            cat, wish.ref, to=wish.to, types=wish.types or (best or offers[0].type.name,),
            out=wish.out, force=True, merge=wish.merge,
            shard=sizing.shard_of(wish.shard) if wish.shard else None, llama_cpp=wish.llama_cpp,
        )  # fmt: skip
    except WorkbenchError as refused:
        error = refused
    replaced = tuple(path for file in plan.files for path in taken(file.out)) if plan else ()
    folder = plan.files[0].out.parent if plan else cat.workspace.root
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.is_dir())).free
    nf4 = source.quantization == "nf4" and wish.to in (*LLAMA, "merged")
    return Outlook(
        wish, offers, best, reason, context, nf4 and source.adapter is not None,
        _merges(cat, source.ref) or advice.which_merge(rows), advice.scale(rows) is not None,
        plan, replaced, error, free,
    )  # fmt: skip


def _for_llama(
    cat: Catalogue, wish: Wish, rows: Sequence[Row]
) -> tuple[tuple[Offer, ...], str, str, int]:
    """Offers, the recommended type, the reason, and the context they are told for."""
    found = sizing.sizes(cat, wish.ref, context=_context(wish.context))
    room = sizing.memory_of(wish.memory) if wish.memory else None
    seen = {row.type: row for row in rows if row.original == (wish.merge == "original")}
    failed = {name for name, row in seen.items() if row.verdict == "fail"}
    sound = [size for size in found if size.type.name not in failed]
    chosen = sizing.best(sound, room if room is not None else max(s.memory for s in found))
    offers = tuple(
        Offer(
            size.type, size.bytes, size.memory, None if room is None else size.memory <= room,
            advice.expected(size.type, rows) or None, seen.get(size.type.name),
        )
        for size in found
    )  # fmt: skip
    context = found[0].context
    if chosen is None:
        return offers, "", f"none of these runs in {words.size(room or 0)}", context
    alike = [o for o in offers if o.row and o.row.alike and o.bytes < chosen.bytes]
    if alike:
        name = min(alike, key=lambda offer: offer.bytes).type.name
        return offers, name, "the smallest that was measured to answer like the model", context
    if chosen.type.name in ("f16", "q8_0"):
        return offers, chosen.type.name, "the smallest that loses nothing to notice", context
    return offers, chosen.type.name, f"loses least of what runs in {words.size(room or 0)}", context


def _for_others(wish: Wish, source: Source) -> tuple[tuple[Offer, ...], str, str]:
    """Offers that are rounded and not quantised, the recommended type, and why."""
    offers = tuple(
        Offer(type, planning.size_of(source, wish.to, type.name), None, None, None, None)
        for type in TYPES[wish.to].values()
    )
    names = [offer.type.name for offer in offers]
    best = "bf16" if source.dtype == "bfloat16" else "f16"
    if best not in names or len(names) == 1:
        return offers, names[0], ""
    as_trained = "as the base was loaded in training"
    return offers, best, as_trained if best == "bf16" else "half of f32, and as close"


def _merges(cat: Catalogue, ref: str) -> str:
    """What the newest proof that held both merges against each other said; empty without one."""
    for export in exports.all(cat):
        for proof in exports.proofs(cat, export.id) if export.ref == ref else ():
            found = [str(stage["text"]) for stage in proof.stages if stage["name"] == "merge"]
            if found:
                return found[0]
    return ""


def _context(said: str) -> int:
    plain = said.replace(",", "").strip() or "4096"
    if not plain.isdigit():
        raise BadInput(f"context {said}: expected a number of tokens.", "Write 4096, for example.")
    return int(plain)


def models(cat: Catalogue) -> list[tuple[str, str]]:
    """References to export with a label each: promoted checkpoints first, the shipped base last."""
    promoted = {
        f"run:{run.id}@{run.promoted_step}": run.name
        for run in runs.all(cat)
        if run.promoted_step is not None
    }
    marked = [
        (ref, f"{label} · {promoted[ref]} · ● promoted" if ref in promoted else label)
        for ref, label in refs.candidates(cat)
    ]
    return sorted(
        marked, key=lambda item: (not item[0].startswith("run:"), item[0] not in promoted)
    )
