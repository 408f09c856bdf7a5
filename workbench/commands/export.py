"""`workbench export` and `workbench verify`: carry a model away, and prove what was carried.

Knows options and words. Does not know how an export is made (see `engine.export.client`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from store.errors import BadInput
from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.export.stages import Merge, Stage
    from store.catalogue import Catalogue
    from store.exports import Export, Proof

_UNWRITTEN = ": not written: "
_MARKS = {"pass": "✓", "warn": "!", "fail": "✗", "running": "…"}

RefArgument = Annotated[
    str, typer.Argument(metavar="REF", help="Model: run:ID, run:ID@STEP, starter or a folder.")
]


def export(
    ref: RefArgument,
    to: Annotated[
        str, typer.Option("--to", help="gguf, ollama, merged, adapter or adapter-gguf.")
    ] = "gguf",
    types: Annotated[
        str | None,
        typer.Option(
            "--type",
            help="f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, q2_k …; several as q4_k_m,q8_0. "
            "Default: f16, of an adapter f32.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write, or the folder for several types.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    merge: Annotated[
        str,
        typer.Option(
            "--base",
            help="Put the adapter on the weights of the training (faithful), the base's own "
            "(original), or write both and compare.",
        ),
    ] = "faithful",
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="SIZE", help="Divide into parts of this size, as 4GB."),
    ] = None,
    llama_cpp: Annotated[
        Path | None,
        typer.Option("--llama-cpp", metavar="DIR", help="Convert with this checkout of llama.cpp."),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write a model in one type or several, and prove that each is the model you trained."""
    from engine.export import types as known
    from engine.export.sizes import shard_of
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    options: dict[str, Any] = {
        "to": known.kind(to),
        "types": None if types is None else [name for name in types.split(",") if name],
        "force": force,
        "shard": shard_of(shard) if shard else None,
        "llama_cpp": llama_cpp,
    }
    merges = _merges(merge)
    with Catalogue.open(find_workspace(workspace)) as cat:
        made = _write(cat, ref, merges, out, options, json)
        _report(cat, made, json, both=len(merges) > 1 and options["to"] != "adapter")


def _write(
    cat: Catalogue,
    ref: str,
    merges: tuple[Merge, ...],
    out: Path | None,
    options: dict[str, Any],
    json: bool,
) -> list[Export]:
    """Every export, the second merge only if nothing stands in the way of either."""
    from engine.export import client, plan
    from engine.models import refs

    names = {each: _named(out, each) if len(merges) > 1 else out for each in merges}
    if refs.resolve(cat, ref).quantization is None or options["to"] == "adapter":
        merges = merges[:1]  # the base was held as it is, or an adapter is put on nothing
    for each in merges if len(merges) > 1 else ():
        plan.make(cat, ref, out=names[each], merge=each, **options)
    return [
        record
        for each in merges
        for record in client.export(
            cat, ref, out=names[each], merge=each, on_event=_tell(json), **options
        )
    ]


def _report(cat: Catalogue, made: list[Export], json: bool, *, both: bool) -> None:
    """Say what was made, and which to take of several."""
    told = [_made(cat, record) for record in made]
    merged = _advice(cat, made) if both else None
    taken = _taken(cat, made)
    found: dict[str, object] = {"exports": told} | (told[0] if len(told) == 1 else {})
    found |= {"merge": merged} if merged is not None else {}
    found |= {"advice": taken} if taken is not None else {}
    lines = [_line(record, each["base"]) for record, each in zip(made, told, strict=True)]
    emit(found, json, "\n".join([*lines, *filter(None, (merged, taken))]))
    _leave(*filter(None, map(_failure, told)))


def _merges(said: str) -> tuple[Merge, ...]:
    """Which weights the adapter is put on.

    Raises:
        BadInput: neither.
    """
    match said.lower():
        case "faithful":
            return ("faithful",)
        case "original":
            return ("original",)
        case "both":
            return ("faithful", "original")
    raise BadInput(
        f"--base {said}: expected faithful, original or both.",
        "faithful is the model that you chatted with.",
    )


def _named(out: Path | None, merge: Merge) -> Path | None:
    """Where one of both merges goes: `m.gguf` and `m-original.gguf`, or into the folder `out`."""
    if out is None or merge == "faithful" or out.is_dir():
        return out
    ending = out.suffix if out.suffix == ".gguf" else ""
    return out.with_name(f"{out.name.removesuffix(ending)}-original{ending}")


def _advice(cat: Catalogue, made: list[Export]) -> str:
    """Which merge to take, by what was measured just now."""
    from engine.export import advice, client

    if all(record.provenance.get("merge") != "original" for record in made):
        return "Training held the base as it is: both merges are the same file."
    proofs = [(record, client.proof_of(cat, record)) for record in made]
    rows = advice.rows_of((record, proof, record.bytes or 0) for record, proof in proofs)
    return advice.which_merge(rows)


def _taken(cat: Catalogue, made: list[Export]) -> str | None:
    """Which of several types to take, by what was measured just now."""
    from engine.export import advice, client

    proofs = [(record, client.proof_of(cat, record)) for record in made]
    rows = advice.rows_of((record, proof, record.bytes or 0) for record, proof in proofs)
    return advice.recommend(rows).sentence if len({row.type for row in rows}) > 1 else None


def _made(cat: Catalogue, record: Export) -> dict[str, Any]:
    from engine.export import beneath, client

    proof, base = client.proof_of(cat, record), beneath.by_hash(cat, record.provenance)
    return {
        "id": record.id,
        "type": record.type,
        "file": record.path if proof else None,
        "bytes": record.bytes,
        "sha256": record.sha256,
        "status": record.status,
        "error": record.provenance.get("error"),
        "proof": _as_dict(proof) if proof else None,
        "merge": record.provenance.get("merge"),
        "base": str(base) if base else None,
    }


def _line(record: Export, base: str | None) -> str:
    """What lies where; of an adapter's file also what it is put on."""
    if record.bytes is None:
        return f"{record.type}  {record.status}"
    under = f"  on {base}" if base else ""
    return f"{record.path}  {record.bytes / 1e6:,.1f} MB  {record.status}{under}"


def verify(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A GGUF file, an exported folder, or an export's ID."),
    ],
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="REF", help="The trained model; known for our exports."),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Prove a GGUF file or exported folder, ours or foreign, against a model."""
    from engine.export import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        path, ref = client.meant(cat, file)
        if against is None and ref is None:
            raise BadInput(
                f"{file}: is no export of ours.", "Say --against REF, the trained model."
            )
        proof = client.verify(cat, path, against or ref or "", on_event=_tell(json))
    found = {"file": proof.file, **_as_dict(proof)}
    emit(found, json, f"{proof.file}  {proof.verdict}")
    _leave(*filter(None, [_failure({"file": proof.file, "proof": found})]))


def _as_dict(proof: Proof) -> dict[str, Any]:
    from engine.export.stages import public

    return {
        "verdict": proof.verdict,
        "sha256": proof.sha256,
        "against": proof.against,
        "stages": [public(stage) for stage in proof.stages],
    }


class _Teller:
    """Prints decided stages, and on a terminal the running one over itself.

    With `--json` this goes to standard error, which programs may ignore.
    """

    def __init__(self, json: bool) -> None:
        self._stream = sys.stderr if json else sys.stdout
        self._live = self._stream.isatty()

    def __call__(self, stage: Stage) -> None:
        from store.visible import visible

        line = visible(f"{_MARKS[stage.state]} {stage.of:<7} {stage.name:<9} {stage.text}")
        if stage.state != "running":
            self._stream.write(f"\r\x1b[K{line}\n" if self._live else f"{line}\n")
        elif self._live:
            self._stream.write(f"\r\x1b[K{line[:79]}")
        self._stream.flush()


def _tell(json: bool) -> _Teller:
    return _Teller(json)


def _failure(told: dict[str, Any]) -> str:
    """Why a file was not written or not proved; empty where it was."""
    if told["proof"] is None:
        return f"{told['type']}{_UNWRITTEN}{told['error']}"
    failed = [stage for stage in told["proof"]["stages"] if stage["verdict"] == "fail"]
    reason = "; ".join(f"{stage['name']}: {stage['text']}" for stage in failed)
    return f"{told['file']}: not proved: {reason}" if failed else ""


def _leave(*failures: str) -> None:
    """Exit code 2 and the reasons where something failed."""
    from workbench.output import complain

    for failure in failures:
        unwritten = _UNWRITTEN in failure
        hint = "The other types stand." if unwritten else "Do not trust this file; export it again."
        complain(failure, hint)
    if failures:
        raise typer.Exit(2)
