"""Export a trained model, prove it, and verify any export again.

Knows the worker process, its messages, the final names and the records. Does not load torch.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.export import plan as planning
from engine.export.child import run
from engine.export.plan import PROVENANCE, File, Plan
from engine.export.stages import Job, Merge, Outcome, Stage, Target, as_dict
from engine.models import refs
from engine.models.folder import read_json
from store import exports
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound
from store.exports import Export, Kind, Proof

OnEvent = Callable[[Stage], None]
Facts = Mapping[str, str | int | float | bool | None]


def export(
    cat: Catalogue,
    ref: str,
    *,
    to: Kind = "gguf",
    types: Sequence[str] = ("f16",),
    out: Path | None = None,
    force: bool = False,
    merge: Merge = "faithful",
    on_event: OnEvent | None = None,
    cancel: threading.Event | None = None,
) -> list[Export]:
    """Write the model `ref` in every one of `types` and prove each against the trained model.

    Args:
        types: names from `types.TYPES[to]`. One that fails does not stop the others.
        out: the name to write, for several types the folder; None chooses in the workspace.
        force: replace an earlier export of that name.
        merge: `faithful` puts the adapter on the weights as training held them, `original` on
            the base's own.
        on_event: called with every stage as it runs and when it is decided.
        cancel: set it from another thread to stop; nothing stays behind.
    Returns:
        The records in the order of `types`. An export that fails its proof is `unproved` and kept
        as `NAME.unproved.gguf` (or `NAME.unproved/`), never under its final name; one that could
        not be written is `failed`, and its provenance says `error`.
    Raises:
        WorkbenchError: none can be done; nothing is left under any name.
    """
    plan = planning.make(cat, ref, to=to, types=types, out=out, force=force, merge=merge)
    cat.workspace.create()
    records = [_begin(cat, plan, file) for file in plan.files]
    name = f"export-{records[0].id}"
    job = Job(
        do="export",
        kind=plan.kind,
        targets=[Target(file.type, str(file.partial)) for file in plan.files],
        source=plan.source,
        log=str(cat.workspace.logs / f"{name}-llama.log"),
        merge=plan.merge,
    )
    plan.files[0].out.parent.mkdir(exist_ok=True)
    _clear(job)
    done: list[Export] = []
    try:
        finished = run(job, cat.workspace.logs / f"{name}.log", on_event, cancel)
        for file, record, outcome in zip(plan.files, records, finished.files, strict=True):
            done.append(_settle(cat, file, record, outcome, finished.facts, force))
    finally:
        _clear(job)
        for record in records[len(done) :]:
            exports.update(cat, record.id, status="failed", finished=time.time())
    return done


def _begin(cat: Catalogue, plan: Plan, file: File) -> Export:
    return exports.create(
        cat,
        ref=plan.source.ref,
        kind=plan.kind,
        type=file.type,
        path=str(file.out),
        run_id=plan.run_id,
        step=plan.step,
    )


def verify(
    cat: Catalogue,
    file: Path,
    against: str,
    *,
    on_event: OnEvent | None = None,
    cancel: threading.Event | None = None,
) -> Proof:
    """Prove an export, ours or foreign, against the model `against`, and record the proof.

    Raises:
        NotFound: no such file. WorkbenchError: the model cannot be resolved, or the worker died.
    """
    target = file.expanduser().absolute()
    kind, type_name = _kind_of(target)
    source = planning.source_of(cat, refs.whole(refs.resolve(cat, against)))
    known = _provenance(cat, target)
    cat.workspace.create()
    stamp = f"verify-{time.time_ns()}"
    job = Job(
        do="verify",
        kind=kind,
        targets=[Target(str(known.get("type") or type_name), str(target))],
        source=source,
        log=str(cat.workspace.logs / f"{stamp}-llama.log"),
        expected_sha256=str(known["sha256"]) if "sha256" in known else None,
    )
    finished = run(job, cat.workspace.logs / f"{stamp}.log", on_event, cancel)
    [outcome] = finished.files
    same = [e.id for e in exports.all(cat) if e.sha256 == outcome.sha256]
    return _add_proof(cat, target, source.ref, outcome, same[0] if same else None)


def _settle(
    cat: Catalogue, file: File, record: Export, outcome: Outcome, facts: Facts, force: bool
) -> Export:
    """Give a written export the name that its proof allows, and record both."""
    if not outcome.path:
        why = next(stage.text for stage in outcome.stages if stage.state == "fail")
        return exports.update(
            cat, record.id, status="failed", finished=time.time(), provenance={"error": why}
        )
    final = _rename(file, outcome, force)
    provenance = {
        **facts,
        "kind": record.kind,
        "type": record.type,
        "sha256": outcome.sha256,
        "created": record.created,
    }
    _write_sidecars(final, provenance, outcome, facts)
    _add_proof(cat, final, record.ref, outcome, record.id)
    return exports.update(
        cat,
        record.id,
        path=str(final),
        bytes=outcome.bytes,
        sha256=outcome.sha256,
        status="unproved" if outcome.verdict == "fail" else "proved",
        finished=time.time(),
        provenance=provenance,
    )


def delete(cat: Catalogue, export_id: int) -> Export:
    """Delete an export, what lies beside it and its records.

    Raises:
        NotFound: no such export. Conflict: it is being written, or something else lies there now.
    """
    record = exports.get(cat, export_id)
    path = Path(record.path)
    if record.status == "running":
        raise Conflict(f"export {export_id} is being written.", "Cancel it, or wait for its end.")
    if record.status != "failed" and path.exists():
        home = path / PROVENANCE if path.is_dir() else _sidecar(path, PROVENANCE)
        if not home.is_file() or read_json(home).get("sha256") != record.sha256:
            raise Conflict(
                f"{path}: is not what export {export_id} wrote.", "Delete it yourself if you like."
            )
        remove(path)
        for name in (PROVENANCE, "proof.json"):
            remove(_sidecar(path, name))
    exports.delete(cat, export_id)
    return record


def proof_of(cat: Catalogue, record: Export) -> Proof | None:
    """The newest proof of an export."""
    found = exports.proofs(cat, record.id)
    return found[0] if found else None


def _clear(job: Job) -> None:
    """Take away what is under a temporary name."""
    for target in job.targets:
        remove(Path(target.path))
    remove(job.halfway)


def remove(path: Path) -> None:
    """Delete a file or folder that may not be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def unproved_name(path: Path) -> Path:
    """`model.gguf` to `model.unproved.gguf`, `folder` to `folder.unproved`."""
    return path.with_name(f"{path.name.removesuffix('.gguf')}.unproved{_ending(path)}")


def _ending(path: Path) -> str:
    return ".gguf" if path.name.endswith(".gguf") else ""


def _rename(file: File, outcome: Outcome, force: bool) -> Path:
    final = file.out if outcome.verdict != "fail" else unproved_name(file.out)
    if final.exists():
        if final == file.out and not force:
            raise Conflict(f"{final}: appeared meanwhile.", "Choose another --out.")
        if final.is_dir() and not (final / PROVENANCE).is_file():
            raise Conflict(f"{final}: is a folder of something else.", "Choose another --out.")
    if file.partial.is_dir():
        remove(final)
    os.replace(file.partial, final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return final


def _sidecar(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}.{name}")


def _write_sidecars(
    path: Path, provenance: Mapping[str, Any], outcome: Outcome, facts: Facts
) -> None:
    """Provenance inside a folder or beside a file, and the proof beside either."""
    home = path / PROVENANCE if path.is_dir() else _sidecar(path, PROVENANCE)
    proof = {
        "file": path.name,
        "sha256": outcome.sha256,
        "against": facts.get("ref"),
        "verdict": outcome.verdict,
        "stages": [as_dict(stage) for stage in outcome.stages],
        "facts": facts,
    }
    for target, value in ((home, provenance), (_sidecar(path, "proof.json"), proof)):
        partial = target.with_name(f".{target.name}.partial")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
        os.replace(partial, target)


def _provenance(cat: Catalogue, path: Path) -> dict[str, Any]:
    """What was recorded of an export: with it, else in the catalogue; empty for a foreign one."""
    home = path / PROVENANCE if path.is_dir() else _sidecar(path, PROVENANCE)
    if home.is_file():
        return read_json(home)
    return next((e.provenance for e in exports.all(cat) if e.path == str(path)), {})


def _kind_of(path: Path) -> tuple[Kind, str]:
    """What an export is by what lies there, and its type; a GGUF tells its own to the worker."""
    if path.is_file():
        if path.suffix != ".gguf":
            raise BadInput(f"{path}: expected a .gguf file or a model folder.", "Name an export.")
        return "gguf", ""
    if (path / "adapter_config.json").is_file():
        return "adapter", "f32"
    if (path / "config.json").is_file():
        dtype = read_json(path / "config.json").get("dtype")
        return "merged", {"bfloat16": "bf16", "float16": "f16"}.get(str(dtype), "f32")
    raise NotFound(f"{path}: no export lies there.", "Name a .gguf file or a model folder.")


def _add_proof(
    cat: Catalogue, file: Path, against: str, outcome: Outcome, export_id: int | None
) -> Proof:
    return exports.add_proof(
        cat,
        file=str(file),
        sha256=outcome.sha256,
        against=against,
        verdict=outcome.verdict,
        stages=[as_dict(stage) for stage in outcome.stages],
        export_id=export_id,
    )
