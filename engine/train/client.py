"""Runs from the outside: start, watch, stop and resume.

Knows the catalogue, the run's folder and processes. Does not know torch; the training itself is
in `worker`, in a process of its own session that outlives this one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from engine.data.split.snapshot import drop_unused, take
from engine.jobs.devices import visible_devices
from engine.machine.facts import this_machine, versions
from engine.models import refs
from engine.models.folder import ModelFolder, describe, file_sha256
from engine.models.grown import grow
from engine.models.hashes import known_weights_sha256
from engine.records import origin
from engine.records.tracking import refuse_missing
from engine.render import Renderer
from engine.train import spec as specs
from engine.train import suites, turn
from engine.train.choosing import Chosen, choose, readable, refuse
from engine.train.extending import extend
from engine.train.fit.estimate import trained_parameters
from engine.train.fit.shape import shape_of
from engine.train.forking import fork, on_top, same_base, take_along
from engine.train.launching import alone, found_again, job_environment, launch
from engine.train.orders import checkpoint_now, demote, pause, pin, promote, stop, unpin
from engine.train.preparing import refuse_strange_rows, source_mark
from engine.train.progress import Progress, follow
from engine.train.queue import Waiting, cancel, queue, reorder, start_again
from engine.train.recipe import Recipe, as_dict
from engine.train.spec import Spec
from engine.train.status import LIVE, is_alive, log_path, reader, refresh
from engine.train.teaching import refuse_what_teaches_nothing
from store import runs
from store.catalogue import Catalogue
from store.errors import Conflict, NoSpace, Unsupported, WorkbenchError
from store.runs import Run
from store.snapshots import Snapshot

__all__ = [
    "LIVE",
    "Progress",
    "Waiting",
    "cancel",
    "checkpoint_now",
    "demote",
    "extend",
    "follow",
    "fork",
    "is_alive",
    "job_environment",
    "log_path",
    "pause",
    "pin",
    "promote",
    "queue",
    "reader",
    "refresh",
    "reorder",
    "resume",
    "start",
    "start_again",
    "stop",
    "unpin",
]

_SPARE_BYTES = 64 << 20
# Adapter, and Adam's two moments, in float32; 12 bytes a trained parameter.
_CHECKPOINT_BYTES_PER_PARAMETER = 12


def start(
    cat: Catalogue,
    file: Path | str,
    model: str,
    recipe: Recipe,
    *,
    name: str | None = None,
    note: str = "",
    parent: int | None = None,
    queue: bool = True,
) -> Run:
    """Freeze the data, record everything needed to repeat the run, and start its process.

    Returns at once; the process waits for the device by itself.

    Args:
        name: None names the run after its data and rank, e.g. `habit-r16`.
        queue: wait while another run has the device; else a taken device is refused.
    Raises:
        Conflict: the device is taken and the run may not wait.
        WorkbenchError: data, model or recipe cannot be trained; nothing was started.
    """
    if not queue:
        _refuse_to_wait(cat)
    base = _base(cat, model)
    assert base.base is not None
    asked = recipe
    recipe = on_top(cat, base, recipe)
    refuse(recipe, describe(base.base), this_machine())
    refuse_missing(recipe.report_to)
    checked = suites.load(recipe)
    folder = grow(cat.workspace, base.base, recipe.add_tokens)
    described = describe(folder)
    renderer = Renderer.load(folder)
    snapshot, chosen = _frozen(cat, Path(file), recipe, renderer, described)
    resolved = chosen.recipe
    base_sha256 = known_weights_sha256(cat.workspace, folder)
    run = runs.create(
        cat,
        model=base.base_ref,
        dataset=str(Path(file).resolve()),
        recipe=as_dict(resolved),
        seed=resolved.seed,
        name=name or f"{Path(file).stem}-r{resolved.r}",
        note=note,
        snapshot=snapshot.sha256,
        base_sha256=base_sha256,
        template_sha256=renderer.template_sha256,
        versions=versions(),
        machine=this_machine().as_dict(),
        split=snapshot.split,
        parent=base.run_id if parent is None else parent,
        forked_step=base.step,
        method=resolved.method,
    )
    run_dir = cat.workspace.run_dir(run.id)
    run_dir.mkdir(mode=0o700, parents=True)
    start = take_along(base.adapter, run_dir) if base.adapter else None
    specs.write(run_dir, _spec(cat, run, folder, base_sha256, snapshot, chosen, start))
    suites.keep(checked, run_dir)
    origin.write(run_dir, origin.here(data=file, base=folder, asked=as_dict(asked)))
    return launch(cat, run.id, resolved.threads)


def _spec(
    cat: Catalogue,
    run: Run,
    folder: Path,
    base_sha256: str,
    snapshot: Snapshot,
    chosen: Chosen,
    start: str | None,
) -> Spec:
    """What the worker is told."""
    return Spec(
        run_id=run.id,
        workspace=str(cat.workspace.root.resolve()),
        base=str(folder),
        base_sha256=base_sha256,
        snapshot=snapshot,
        recipe=as_dict(chosen.recipe),
        device=this_machine().device,
        choices=chosen.choices,
        versions=versions(),
        template_sha256=run.template_sha256,
        tokenizer_sha256=file_sha256(folder / "tokenizer.json"),
        source_mark=source_mark(Path(snapshot.source)),
        start=start,
    )


def _frozen(
    cat: Catalogue, file: Path, recipe: Recipe, renderer: Renderer, base: ModelFolder
) -> tuple[Snapshot, Chosen]:
    """The data as it is now, and every setting for it; what cannot be trained leaves nothing."""
    snapshot = take(cat, file, eval_fraction=recipe.test_size, seed=recipe.seed)
    try:
        facts = refuse_what_teaches_nothing(file, snapshot, renderer, readable(recipe, base))
        chosen = choose(recipe, base, this_machine(), facts)
        refuse_strange_rows(base.path, snapshot, renderer, chosen.recipe)
        _need_room(cat, base, chosen.recipe)
    except WorkbenchError:
        drop_unused(cat, snapshot)
        raise
    return snapshot, chosen


def _refuse_to_wait(cat: Catalogue) -> None:
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if not turn.free_now(cat.workspace, visible_devices(this_machine().device, listed)):
        raise Conflict(
            "the device is taken by another run",
            "See which: workbench queue. Without --no-queue this run waits for its turn.",
        )


def resume(cat: Catalogue, run_id: int) -> Run:
    """Go on from the newest intact checkpoint, or from the start where there is none.

    Raises:
        Conflict: the run is alive, or already finished, or its base is another one by now.
    """
    runs.get(cat, run_id)
    run_dir = cat.workspace.run_dir(run_id)
    with alone(run_dir):
        run = refresh(cat, run_id)
        if is_alive(run):
            raise Conflict(
                f"run {run_id} is {run.status} in process {run.pid}",
                f"Watch it: workbench show {run_id}. Stop it: workbench stop {run_id}.",
            )
        if run.status == "finished":
            raise Conflict(
                f"run {run_id} has finished: {run.reason or f'all its {run.total_steps} steps'}",
                f"Let it go on for longer: workbench extend {run_id} --steps 200.",
            )
        spec = found_again(cat, run, specs.read(run_dir))
        same_base(cat, spec)
        return launch(cat, run_id, spec.settings.threads)


def _base(cat: Catalogue, text: str) -> refs.Model:
    model = refs.whole(refs.resolve(cat, text))
    if model.base is None:
        raise Unsupported(
            f"model '{text}': a GGUF file cannot be trained",
            "Train its original: starter, hub:org/name or a folder with safetensors.",
        )
    return model


def _need_room(cat: Catalogue, model: ModelFolder, recipe: Recipe) -> None:
    """Refuse to start where the checkpoints cannot fit.

    One more than `save_total_limit` is kept, and one is being written; of endless ones ten count.
    """
    trained = trained_parameters(recipe, shape_of(model.path))
    adapter = trained * _CHECKPOINT_BYTES_PER_PARAMETER
    kept = min(recipe.save_total_limit or 10, 10) + 2
    needed = adapter * kept + _SPARE_BYTES
    free = shutil.disk_usage(cat.workspace.root).free
    if free < needed:
        raise NoSpace(
            f"{cat.workspace.root}: {free >> 20} MB free, this run needs about {needed >> 20} MB",
            "Make room, lower save_total_limit or r, or use another --workspace.",
        )
