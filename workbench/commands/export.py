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
    from store.exports import Proof

_MARKS = {"pass": "✓", "warn": "!", "fail": "✗", "running": "…"}

RefArgument = Annotated[
    str, typer.Argument(metavar="REF", help="Model: run:ID, run:ID@STEP, starter or a folder.")
]


def export(
    ref: RefArgument,
    to: Annotated[str, typer.Option("--to", help="gguf, merged or adapter.")] = "gguf",
    type: Annotated[
        str,
        typer.Option(
            "--type", help="f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, iq4_xs, q3_k_m, q2_k …"
        ),
    ] = "f16",
    out: Annotated[Path | None, typer.Option("--out", help="File or folder to write.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write a model to one file or folder, and prove that it is the model you trained."""
    from engine.export import client, types
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    kind = types.kind(to)
    with Catalogue.open(find_workspace(workspace)) as cat:
        record = client.export(
            cat, ref, to=kind, type=type, out=out, force=force, on_event=_tell(json)
        )
        proof = client.proof_of(cat, record)
    assert proof is not None
    found = {
        "file": record.path,
        "bytes": record.bytes,
        "sha256": record.sha256,
        "status": record.status,
        "proof": _as_dict(proof),
    }
    size = (record.bytes or 0) / 1e6
    emit(found, json, f"{record.path}  {size:,.1f} MB  {record.status}")
    _leave(proof)


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
    _leave(proof)


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


def _leave(proof: Proof) -> None:
    """Exit code 2 and the reason where the proof failed."""
    if proof.verdict != "fail":
        return
    from workbench.output import complain

    failed = [s for s in proof.stages if s["state"] == "fail"]
    reason = "; ".join(f"{s['name']}: {s['text']}" for s in failed)
    complain(f"{proof.file}: not proved: {reason}", "Do not trust this file; export it again.")
    raise typer.Exit(2)
