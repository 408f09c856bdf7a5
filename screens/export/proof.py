"""A proof as one reads it: stage by stage, what each compares, its limits, and the file's facts.

Knows how a stage is worded. Does not know how anything is proved.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

from textual.content import Content

from engine.export.proof import limits
from engine.export.stages import Stage
from engine.export.types import TYPES, ExportType
from screens.export.ledger import Record, stages_of
from screens.safe import text, visible
from screens.widgets import words
from screens.widgets.topline import short_path
from store.errors import WorkbenchError

STAGES: dict[str, tuple[str, str]] = {
    "base": ("base unchanged", "the base and its template are those that the run recorded"),
    "write": ("write", "the merged weights, tensor by tensor"),
    "modelfile": ("Ollama template", "Ollama's own template says what training saw"),
    "quantise": ("quantise", "llama.cpp's quantiser, in a process of its own"),
    "split": ("parts", "one file divided, as llama.cpp names its parts"),
    "file": ("file unchanged", "the file's hash is the one that was recorded"),
    "load": ("load", "the file opens"),
    "tokens": ("token ids", "the same text gives the same ids: your chats, and hostile strings"),
    "template": ("chat template", "the file's template says what training saw"),
    "stops": ("stop tokens", "every token that ends a turn ends it in the file too"),
    "convert": ("conversion", "the 16- or 32-bit file against the merged weights in 32 bit"),
    "merge": ("choice of base", "the adapter on the base's own weights, beside what training held"),
    "quant": ("quantisation", "the quantised file against the 16-bit one"),
    "end": ("end to end", "the file against the model as you chatted with it"),
    "logits": ("end to end", "the file against the model as you chatted with it"),
    "greedy": ("greedy answers", "word for word, until the first that differs"),
    "suite": ("check suites", "the run's own checks, on the file and on the trained model"),
}
"""What a stage is called, and what it compares."""
_LABEL = 16
_QUIET = "$foreground 60%"

SAID = {
    "pass": "proved: it answers like the model that was trained",
    "warn": "proved, with something to look at",
    "fail": "not proved: kept under a name that says so",
}


def stage_name(stage: Stage) -> str:
    """Its name for a person."""
    return STAGES[stage.name][0] if stage.name in STAGES else visible(stage.name)


def stage_lines(
    stages: Iterable[Stage], width: int, *, told: bool = False, record: Record | None = None
) -> list[Content]:
    """One line a stage, a second one with a bar while it runs.

    Args:
        told: also what each compares.
        record: of what; its limits stand beside what they judge where `told`.
    """
    lines = []
    for stage in stages:
        name = stage_name(stage).ljust(_LABEL)
        running = stage.state == "running"
        sign, colour = ("▸", "$accent") if running else words.STATES[stage.state]
        tone = _QUIET if running else "" if stage.state == "pass" else colour
        first, *rest = _wrapped(visible(stage.text), width)
        lines.append(
            Content.assemble(
                (f"{sign} ", f"{colour} bold"), (name, "bold" if running else ""), (first, tone)
            )
        )
        lines += [_hanging(more, tone) for more in rest]
        total = stage.numbers.get("total", 0)
        if running and total:
            share = stage.numbers.get("done", 0) / total
            length = max(width - _LABEL - 3, 8)
            lines.append(Content(" " * (_LABEL + 2)) + words.bar(share, length))
        if told and stage.name in STAGES:
            more = STAGES[stage.name][1] + _limit_words(stage, record)
            lines += [_hanging(part, _QUIET) for part in _wrapped(more, width)]
    return lines


def _wrapped(words_: str, width: int) -> list[str]:
    return textwrap.wrap(words_, max(width - _LABEL - 3, 20), break_on_hyphens=False) or [""]


def _hanging(words_: str, tone: str) -> Content:
    return Content.styled(" " * (_LABEL + 2) + words_, tone)


def _limit_words(stage: Stage, record: Record | None) -> str:
    """What decides the verdict on what was measured, where the type's table does."""
    type = _type_of(record) if record is not None else None
    if record is None or type is None or "kl_mean" not in stage.numbers:
        return ""
    found = type.limits
    if stage.name == "convert" and type.quantised:
        found = TYPES["gguf"]["f16"].limits
    elif stage.name == "end":
        found = limits.end(type, "original" if record.original else "faithful")
    return (
        f"; warns over KL {found.kl_warn:g} or under {found.top1_warn:.0%} top-1, fails over "
        f"{found.kl_fail:g} or under {found.top1_fail:.0%}"
    )


def proof_words(record: Record, width: int, *, told: bool = False) -> Content:
    """A finished export: verdict and what to do, stages, file.

    Args:
        told: also what each stage compares, and its limits with their source.
    """
    proof = record.proof
    lines: list[Content] = [_verdict(record)]
    if proof is not None:
        stages = {stage.name: stage for stage in stages_of(proof)}.values()
        lines.append(Content(""))
        lines += stage_lines(stages, width, told=told, record=record)
        if told:
            lines += ["", *_sources(record, width)]  # type: ignore[list-item]
    lines += ["", *_facts(record)]  # type: ignore[list-item]
    return Content("\n").join(lines)


def _verdict(record: Record) -> Content:
    export, proof = record.export, record.proof
    if proof is not None:
        told = SAID[proof.verdict] if export else _foreign(record)
        wrong = [stage_name(s) for s in stages_of(proof) if s.state == proof.verdict != "pass"]
        return words.state(proof.verdict, told + (f" ({', '.join(wrong)})" if wrong else ""))
    if record.status == "failed":
        why = str(export.provenance.get("error") or "") if export else ""
        said = words.state("failed", "nothing was written")
        return said + (Content(": ") + text(why, limit=600) if why else Content(""))
    return words.state(record.status)


def _foreign(record: Record) -> str:
    assert record.proof is not None
    good = {"pass": "answers like", "warn": "answers like, with something to look at,"}
    return f"{good.get(record.proof.verdict, 'does not answer like')} {visible(record.ref)}"


def _type_of(record: Record) -> ExportType | None:
    if record.export is None:
        return None
    kind = "gguf" if record.kind == "ollama" else record.kind
    return TYPES.get(kind, {}).get(record.export.type)


def _sources(record: Record, width: int) -> list[Content]:
    type = _type_of(record)
    said = (
        "Limits of a quantised file: about two and five times what Llama-3-8B loses in llama.cpp's "
        "own tables (tools/perplexity), and where nobody published any, by its neighbours. "
        if type is None or type.quantised or type.name == "q8_0"
        else ""
    )
    said += (
        "Limits of 16 and 32 bits: right conversions measure 1e-9 to 4e-5, a lost permutation or "
        "rope factor costs 1e-2 and more. The reference is the trained model in 32-bit "
        "arithmetic, on chats that were held out of training."
    )
    return [Content.styled(part, _QUIET) for part in textwrap.wrap(said, max(width - 1, 20))]


def _facts(record: Record) -> list[Content]:
    export, proof = record.export, record.proof
    path = record.path
    facts = [("file", path.name), ("in", short_path(path.parent))]
    if not record.present and record.status in ("proved", "unproved"):
        facts.append(("", "it is not there any more"))
    if record.bytes is not None:
        facts.append(("size", f"{words.size(record.bytes)}  ({record.bytes:,} bytes)"))
    facts.append(("model", record.ref))
    if export is not None:
        if export.provenance.get("quantization"):
            facts.append(("base", str(export.provenance.get("merge", "faithful"))))
        if export.sha256:
            facts.append(("sha256", f"{export.sha256[:16]}…"))
    elif proof is not None:
        facts.append(("sha256", f"{proof.sha256[:16]}…"))
    if proof is not None:
        facts.append(("proved", words.age(words.now() - proof.created)))
    beside = proof_file(record)
    if beside is not None:
        facts.append(("proof", beside.name))
    return [
        Content.styled(name.ljust(9), _QUIET) + text(visible(value), limit=2000)
        for name, value in facts
    ]


def proof_file(record: Record) -> Path | None:
    """The JSON with the whole proof, beside the export; None where there is none."""
    found = record.path.with_name(f"{record.path.name}.proof.json")
    return found if record.export is not None and found.is_file() else None


def error_words(error: WorkbenchError) -> Content:
    """What went wrong and what to do, inside the pane."""
    return Content("\n").join(
        [
            Content.assemble(("✗ ", "$text-error bold")) + text(error.message, limit=2000),
            text(error.hint, _QUIET, limit=2000),
        ]
    )
