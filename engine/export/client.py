"""Export a trained model, prove it, and verify any export again.

Knows the worker process, its messages, the final names and the records. Does not load torch.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.export import beneath
from engine.export import plan as planning
from engine.export.child import run
from engine.export.files import (
    MODELFILE,
    left,
    new_room,
    partial_of,
    parts,
    provenance,
    remove,
    remove_export,
    remove_partial,
    remove_room,
    taken,
    unproved_name,
)
from engine.export.keeping import Keeper, OnEvent, add_proof, fail, with_suite
from engine.export.plan import File, Plan
from engine.export.stages import Job, Merge, Target
from engine.jobs.process import alive, this_process
from engine.models import refs
from engine.models.folder import read_json
from engine.models.gguf import is_adapter
from store import exports
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace, NotFound, Unsupported
from store.exports import Export, Kind, Proof
from store.sqlite import write


def export(
    cat: Catalogue,
    ref: str,
    *,
    to: Kind = "gguf",
    types: Sequence[str] | None = None,
    out: Path | None = None,
    force: bool = False,
    merge: Merge = "faithful",
    shard: int | None = None,
    llama_cpp: Path | None = None,
    on_event: OnEvent | None = None,
    cancel: threading.Event | None = None,
) -> list[Export]:
    """Write the model `ref` in every one of `types` and prove each against the trained model.

    Args:
        types: names from `types.TYPES[to]`; None takes the usual one. One that fails does not
            stop the others.
        out: the name to write, for several types the folder; None chooses in the workspace.
        force: replace an earlier export of that name.
        merge: `faithful` puts the adapter on the weights as training held them, `original` on
            the base's own.
        shard: bytes of weights in one file at most, further parts take the rest. None divides
            only a merged folder, by 5 GB.
        llama_cpp: a checkout whose converter writes GGUF files; for architectures that ours
            does not know.
        on_event: called with every stage as it runs and when it is decided.
        cancel: set it from another thread to stop; nothing stays behind.
    Returns:
        The records in the order of `types`. An export that fails its proof is `unproved` and kept
        as `NAME.unproved.gguf` (or `NAME.unproved/`), never under its final name; one that could
        not be written is `failed`, and its provenance says `error`.
    Raises:
        WorkbenchError: none can be done; nothing is left under any name.
    """
    listed(cat)
    plan = planning.make(
        cat,
        ref,
        to=to,
        types=types,
        out=out,
        force=force,
        merge=merge,
        shard=shard,
        llama_cpp=llama_cpp,
    )
    cat.workspace.create()
    base = None
    if to == "adapter-gguf":
        base = beneath.find(cat, plan.source) or _write_base(cat, plan, out, on_event, cancel)
    return _carry_out(cat, plan, base, force, on_event, cancel)


def _write_base(
    cat: Catalogue,
    plan: Plan,
    out: Path | None,
    on_event: OnEvent | None,
    cancel: threading.Event | None,
) -> Path:
    """Write and prove what an adapter's file is put on, beside it: once for all adapters to it."""
    ref = beneath.base_ref(plan.source)
    folder = None if out is None else plan.files[0].out.parent
    type_name = plan.source.lossless
    try:
        [made] = export(cat, ref, types=[type_name], out=folder, on_event=on_event, cancel=cancel)
    except Unsupported:
        if type_name == "f32":
            raise
        # Weights may go beyond what F16 holds.
        [made] = export(cat, ref, types=["f32"], out=folder, on_event=on_event, cancel=cancel)
    if made.status != "proved":
        raise Unsupported(
            f"{made.path}: the base as a file is not proved, so no adapter on it can be.",
            "Merge the adapter into a file of its own: --to gguf.",
        )
    return Path(made.path)


def _carry_out(
    cat: Catalogue,
    plan: Plan,
    base: Path | None,
    force: bool,
    on_event: OnEvent | None,
    cancel: threading.Event | None,
) -> list[Export]:
    """Write, prove and keep every file of a plan; see `export`."""
    with write(cat.db):  # or two that begin at once would take one name
        _refuse_same_names(cat, plan)
        room = new_room()
        records = [_begin(cat, plan, file, room) for file in plan.files]
    job = _job(cat, plan, records[0].id, base)
    folder = plan.files[0].out.parent
    made_folder = not folder.exists()
    done: list[Export] = []
    try:
        folder.mkdir(exist_ok=True)
        _clear(job)
        log = cat.workspace.logs / f"export-{records[0].id}.log"
        finished = run(job, log, room, on_event, cancel)
        for file, record, outcome in zip(plan.files, records, finished.files, strict=True):
            keeper = Keeper(cat, file, record, plan.source, finished.facts, on_event, cancel)
            done.append(keeper.keep(outcome, force=force))
    except BaseException as error:
        cancelled = isinstance(error, KeyboardInterrupt) or (cancel is not None and cancel.is_set())
        _clear(job)
        remove(room)
        if made_folder and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        for record in records[len(done) :]:
            if cancelled:
                exports.delete(cat, record.id)
            else:
                fail(cat, record, str(error) or type(error).__name__)
        if isinstance(error, OSError):
            why = f"{error.filename or folder}: {error.strerror or error}."
            raise NoSpace(why, "Make room there, or choose another --out.") from error
        raise
    return done


def _begin(cat: Catalogue, plan: Plan, file: File, room: Path) -> Export:
    """Note an export that begins, and the process that will end it."""
    return exports.create(
        cat,
        ref=plan.source.ref,
        kind=plan.kind,
        type=file.type,
        path=str(file.out),
        run_id=plan.run_id,
        step=plan.step,
        provenance={**asdict(this_process()), "room": str(room)},
    )


def _job(cat: Catalogue, plan: Plan, number: int, base: Path | None) -> Job:
    return Job(
        do="export",
        kind=plan.kind,
        targets=[Target(file.type, str(file.partial)) for file in plan.files],
        source=plan.source,
        log=str(cat.workspace.logs / f"export-{number}-llama.log"),
        merge=plan.merge,
        shard=plan.shard,
        llama_cpp=str(plan.llama_cpp) if plan.llama_cpp else None,
        base=str(base) if base else None,
    )


def _refuse_same_names(cat: Catalogue, plan: Plan) -> None:
    names = {str(file.out) for file in plan.files}
    busy = next((e for e in exports.all(cat) if e.status == "running" and e.path in names), None)
    if busy is not None:
        raise Conflict(
            f"{busy.path}: export {busy.id} is writing it.", "Wait for it, or choose another --out."
        )


def listed(cat: Catalogue) -> list[Export]:
    """Every export, newest first; those whose process ended without a word are `failed`.

    What such a process left under a temporary name is taken away.
    """
    found = exports.all(cat)
    gone = {e.id for e in found if e.status == "running" and not _alive(e)}
    if not gone:
        return found
    # It may have written its last word before it ended, and after we read.
    for record in [e for e in exports.all(cat) if e.id in gone and e.status == "running"]:
        remove_partial(partial_of(Path(record.path)))
        if room := record.provenance.get("room"):
            remove_room(Path(room))
        why = "its process ended before it was written and proved"
        left = taken(unproved_name(Path(record.path)))
        fail(cat, record, f"{why}; {left[0].name} is what there is of it" if left else why)
    return exports.all(cat)


def _alive(record: Export) -> bool:
    return alive(record.provenance.get("pid"), record.provenance.get("started"))


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
    base = beneath.by_hash(cat, known) if kind == "adapter-gguf" else None
    cat.workspace.create()
    stamp = f"verify-{time.time_ns()}"
    job = Job(
        do="verify",
        kind=kind,
        targets=[Target(str(known.get("type") or type_name), str(target))],
        source=source,
        log=str(cat.workspace.logs / f"{stamp}-llama.log"),
        merge="original" if known.get("merge") == "original" else "faithful",
        expected_sha256=str(known["sha256"]) if "sha256" in known else None,
        base=str(base) if base else None,
    )
    finished = run(job, cat.workspace.logs / f"{stamp}.log", new_room(), on_event, cancel)
    outcome = with_suite(cat, source.ref, target, finished.files[0], on_event, cancel)
    ours = [e for e in exports.all(cat) if e.ref == source.ref]
    same = [e.id for e in ours if e.path == str(target)]
    same += [e.id for e in ours if e.sha256 == outcome.sha256]
    return add_proof(cat, target, source.ref, outcome, same[0] if same else None)


def meant(cat: Catalogue, said: str) -> tuple[Path, str | None]:
    """The file and the model of an export, by its number, where it lies, or what lies beside it.

    Returns:
        the path, and the trained model's reference; None for a file that we did not write.
    Raises:
        NotFound: no export has this number.
    """
    path = Path(said).expanduser().absolute()
    if said.isdecimal() and not path.exists():
        record = exports.get(cat, int(said))
        return Path(record.path), record.ref
    folder = path.parent
    if path.name == "model.gguf" and (folder / MODELFILE).is_file() and provenance(folder):
        path = folder  # an export for Ollama is proved whole
    seal = provenance(path).get("sha256")
    found = exports.all(cat)
    same = [export.ref for export in found if export.path == str(path)]
    same += [export.ref for export in found if seal is not None and export.sha256 == seal]
    return path, next(iter(same), None)


def delete(cat: Catalogue, export_id: int) -> Export:
    """Delete an export, what lies beside it and its records.

    Raises:
        NotFound: no such export. Conflict: it is being written, or something else lies there now.
    """
    listed(cat)
    record = exports.get(cat, export_id)
    path = Path(record.path)
    if record.status == "running":
        raise Conflict(f"export {export_id} is being written.", "Cancel it, or wait for its end.")
    if record.status != "failed" and left(path):
        if provenance(path).get("sha256") != record.sha256:
            raise Conflict(
                f"{path}: is not what export {export_id} wrote.", "Delete it yourself if you like."
            )
        remove_export(path)
    exports.delete(cat, export_id)
    return record


def proof_of(cat: Catalogue, record: Export) -> Proof | None:
    """The newest proof of an export."""
    found = exports.proofs(cat, record.id)
    return found[0] if found else None


def _clear(job: Job) -> None:
    """Take away what is under a temporary name."""
    for target in job.targets:
        remove_partial(Path(target.path))


def _provenance(cat: Catalogue, path: Path) -> dict[str, Any]:
    """What was recorded of an export: with it, else in the catalogue; empty for a foreign one."""
    recorded = (e.provenance for e in exports.all(cat) if e.path == str(path))
    return provenance(path) or next(recorded, {})


def _kind_of(path: Path) -> tuple[Kind, str]:
    """What an export is by what lies there, and its type; a GGUF tells its own to the worker."""
    if path.is_file():
        if path.suffix != ".gguf":
            raise BadInput(f"{path}: expected a .gguf file or a model folder.", "Name an export.")
        parts(path)
        return ("adapter-gguf", "f32") if is_adapter(path) else ("gguf", "")
    if (path / MODELFILE).is_file():
        return "ollama", ""
    if (path / "adapter_config.json").is_file():
        return "adapter", "f32"
    if (path / "config.json").is_file():
        dtype = read_json(path / "config.json").get("dtype")
        return "merged", {"bfloat16": "bf16", "float16": "f16"}.get(str(dtype), "f32")
    raise NotFound(f"{path}: no export lies there.", "Name a .gguf file or a model folder.")
