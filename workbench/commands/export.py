"""`workbench export` and `workbench verify`: carry a model away, and prove what was carried.

Knows options and words. Does not know how an export is made (see `engine.export.client`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.export.stages import Stage
    from store.exports import Export, Proof

_MARKS = {"pass": "✓", "warn": "!", "fail": "✗", "running": "…"}

RefArgument = Annotated[
    str, typer.Argument(metavar="REF", help="Model: run:ID, run:ID@STEP, starter or a folder.")
]


def export(
    ref: RefArgument,
    to: Annotated[str, typer.Option("--to", help="gguf, merged or adapter.")] = "gguf",
    types: Annotated[
        str,
        typer.Option(
            "--type",
            help="f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, q2_k …; several as q4_k_m,q8_0",
        ),
    ] = "f16",
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write, or the folder for several types.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write a model in one type or several, and prove that each is the model you trained."""
    from engine.export import client
    from engine.export import types as known
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        made = client.export(
            cat,
            ref,
            to=known.kind(to),
            types=[name for name in types.split(",") if name],
            out=out,
            force=force,
            on_event=_tell(json),
        )
        proofs = [client.proof_of(cat, record) for record in made]
    told = [_made(record, proof) for record, proof in zip(made, proofs, strict=True)]
    found = {"exports": told} | (told[0] if len(told) == 1 else {})
    emit(found, json, "\n".join(map(_line, made)))
    _leave(
        *(
            _failure(record.path, proof) if proof else str(record.provenance.get("error"))
            for record, proof in zip(made, proofs, strict=True)
        )
    )


def _made(record: Export, proof: Proof | None) -> dict[str, object]:
    return {
        "id": record.id,
        "type": record.type,
        "file": record.path if proof else None,
        "bytes": record.bytes,
        "sha256": record.sha256,
        "status": record.status,
        "error": record.provenance.get("error"),
        "proof": _as_dict(proof) if proof else None,
    }


def _line(record: Export) -> str:
    if record.bytes is None:
        return f"{record.type}  {record.status}"
    return f"{record.path}  {record.bytes / 1e6:,.1f} MB  {record.status}"


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A GGUF file or exported folder.")],
    against: Annotated[str, typer.Option("--against", metavar="REF", help="The trained model.")],
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Prove a GGUF file or exported folder, ours or foreign, against a model."""
    from engine.export import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        proof = client.verify(cat, file, against, on_event=_tell(json))
    emit({"file": proof.file, **_as_dict(proof)}, json, f"{proof.file}  {proof.verdict}")
    _leave(_failure(proof.file, proof))


def _as_dict(proof: Proof) -> dict[str, object]:
    return {
        "verdict": proof.verdict,
        "sha256": proof.sha256,
        "against": proof.against,
        "stages": proof.stages,
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

        line = visible(f"{_MARKS[stage.state]} {stage.name:<9} {stage.text}")
        if stage.state != "running":
            self._stream.write(f"\r\x1b[K{line}\n" if self._live else f"{line}\n")
        elif self._live:
            self._stream.write(f"\r\x1b[K{line[:79]}")
        self._stream.flush()


def _tell(json: bool) -> _Teller:
    return _Teller(json)


def _failure(file: str, proof: Proof) -> str:
    """Why a proof failed; empty where it did not."""
    failed = [stage for stage in proof.stages if stage["state"] == "fail"]
    reason = "; ".join(f"{stage['name']}: {stage['text']}" for stage in failed)
    return f"{file}: not proved: {reason}" if failed else ""


def _leave(*failures: str) -> None:
    """Exit code 2 and the reasons where something failed."""
    from workbench.output import complain

    for failure in filter(None, failures):
        complain(failure, "Do not trust this file; export it again.")
    if any(failures):
        raise typer.Exit(2)
