"""A new run that leaves another at one of its checkpoints, with other settings.

The fork has the parent's rows and base, its adapter and, where the optimizer is the same, the
optimizer's state; its curve begins as the parent's. With no setting changed it repeats the parent
bit for bit. Knows which settings fit into a checkpoint. Does not know torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from engine.machine.facts import this_machine, versions
from engine.models import refs
from engine.models.folder import describe
from engine.models.hashes import known_weights_sha256
from engine.records import origin
from engine.records.tracking import refuse_missing
from engine.train import checkpoints, suites
from engine.train import spec as specs
from engine.train.choosing import refuse
from engine.train.launching import found_again, launch
from engine.train.recipe import AUTO, Recipe, as_dict, with_sets
from engine.train.recipe.fitting import refuse_for_data
from engine.train.spec import Spec, Told
from engine.train.status import refresh
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict
from store.runcopy import copy_until
from store.runs import Run

ADAPTER = (
    "r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora",
    "add_tokens",
)  # fmt: skip
"""Settings that an adapter is made of."""
SHAPE = ("method", *ADAPTER, "load_in_4bit", "bnb_4bit_use_double_quant")
"""Settings that a checkpoint's weights were made for: another value makes them mean nothing."""
_ROWS = ("test_size", "leave_out")
_STATE = ("optim", "loraplus_lr_ratio")
_BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps", "packing", "devices")
_OPEN = ("learning_rate", "max_length", "threads")
"""Settings whose 0 leaves them open."""
_OPTIMIZER = "optimizer.pt"


def fork(
    cat: Catalogue,
    run_id: int,
    step: int,
    sets: Iterable[str] = (),
    *,
    name: str | None = None,
    note: str = "",
) -> Run:
    """Start a run from a checkpoint of another, with `key=value` settings changed.

    Raises:
        NotFound: no such checkpoint. BadInput: a setting that does not fit, or a damaged file.
        Conflict: the base is not what the parent was trained on.
    """
    parent = refresh(cat, run_id)
    parent_dir = cat.workspace.run_dir(run_id)
    spec = found_again(cat, parent, specs.read(parent_dir))
    saved = checkpoints.intact(parent_dir, run_id, step)
    recipe = forked_recipe(spec.settings, sets, step)
    same_base(cat, spec)
    _refuse_unfit(recipe, spec)
    refuse_missing(recipe.report_to)
    checked = suites.load(recipe, parent_dir)
    changed = _changed(spec.settings, recipe)
    run = runs.create(
        cat,
        model=parent.model,
        dataset=parent.dataset,
        recipe=as_dict(recipe),
        seed=recipe.seed,
        name=name or f"{parent.name}-fork",
        note=note,
        snapshot=parent.snapshot,
        base_sha256=parent.base_sha256,
        template_sha256=parent.template_sha256,
        versions=versions(),
        machine=this_machine().as_dict(),
        split=parent.split,
        parent=run_id,
        forked_step=step,
        method=recipe.method,
        step=step,
        total_steps=parent.total_steps,
    )
    run_dir = cat.workspace.run_dir(run.id)
    run_dir.mkdir(mode=0o700, parents=True)
    left = {_OPTIMIZER} if changed.keys() & set(_STATE) else set[str]()
    _copy(saved, run_dir, step, left)
    if spec.start is not None:
        take_along(parent_dir / spec.start, run_dir)
    copy_until(parent_dir / specs.DATABASE, run_dir / specs.DATABASE, step)
    told = Told("forked", _words(run_id, step, changed, left))
    specs.write(
        run_dir,
        msgspec.structs.replace(
            spec,
            run_id=run.id,
            recipe=as_dict(recipe),
            versions=versions(),
            history=(told,),
            patience_from=step,
            choices=(),
        ),
    )
    suites.keep(checked, run_dir)
    origin.write(run_dir, origin.here(base=Path(spec.base)))
    return launch(cat, run.id, recipe.threads)


def forked_recipe(before: Recipe, sets: Iterable[str], step: int) -> Recipe:
    """The parent's recipe with `sets` laid over it.

    Raises:
        BadInput: naming the setting that does not fit into the checkpoint.
    """
    recipe = with_sets(before, sets)
    for key, (old, new) in _changed(before, recipe).items():
        if key in SHAPE:
            raise BadInput(
                f"{key}={_plain(new)}: the checkpoint was trained with {key}={_plain(old)}, and "
                "its weights fit nothing else",
                f"Leave {key} as it is, or start a new run.",
            )
        if key in _ROWS:
            raise BadInput(
                f"{key}={_plain(new)}: a fork trains on its parent's rows as they were split",
                "Start a new run on top of the checkpoint: workbench train FILE --model run:ID.",
            )
        if new == AUTO or (key in _OPEN and new == 0):
            raise BadInput(f"{key}={_plain(new)}: a fork leaves nothing open", "Give a value.")
    if 0 < recipe.max_steps <= step:
        raise BadInput(
            f"max_steps={recipe.max_steps}: the fork begins at step {step}",
            "max_steps counts from the parent's first step: give a larger one.",
        )
    return recipe


def _refuse_unfit(recipe: Recipe, spec: Spec) -> None:
    """See that machine, model and rows can bear the settings of a fork, as those of any run.

    Raises:
        WorkbenchError: naming the key and the way out.
    """
    model = describe(Path(spec.base))
    refuse(recipe, model, this_machine())
    refuse_for_data(recipe, spec.snapshot.eval_rows)
    if 0 < model.context < recipe.max_length:
        raise BadInput(
            f"max_length={recipe.max_length}: the model's context is {model.context:,} tokens",
            f"Set max_length={model.context} or less.",
        )


def same_base(cat: Catalogue, spec: Spec) -> None:
    """See that the base is the one that the adapter was trained on.

    Raises:
        NotFound: it is gone. Conflict: its weights or its config are others.
    """
    if spec.base_sha256 != known_weights_sha256(cat.workspace, Path(spec.base)):
        raise Conflict(
            f"{spec.base}: not the base that run {spec.run_id} was trained on (its weights differ)",
            "Put the old files back: an adapter means nothing on another base.",
        )
    if not origin.same_config(cat.workspace.run_dir(spec.run_id), Path(spec.base)):
        raise Conflict(
            f"{spec.base}/config.json was altered since run {spec.run_id} was made",
            "Put the old file back: with another shape or scale the base is another one.",
        )


def _copy(folder: Path, run_dir: Path, step: int, left: set[str]) -> None:
    """Make the parent's checkpoint the fork's own, so that neither needs the other."""
    manifest = checkpoints.read_manifest(folder)
    assert manifest is not None
    names = [name for name in manifest.files if name not in left]
    files = ((name, (folder / name).read_bytes()) for name in names)
    checkpoints.write(run_dir, step, files, manifest.versions, manifest.eval_loss)


def _changed(before: Recipe, after: Recipe) -> dict[str, tuple[Any, Any]]:
    old, new = as_dict(before), as_dict(after)
    return {key: (old[key], new[key]) for key in old if old[key] != new[key]}


def _words(run_id: int, step: int, changed: dict[str, tuple[Any, Any]], left: set[str]) -> str:
    told = ", ".join(f"{key} {_plain(old)} → {_plain(new)}" for key, (old, new) in changed.items())
    parts = [f"forked from run {run_id} at step {step:,}: {told or 'no setting changed'}"]
    if left:
        parts.append("the optimizer's state does not fit and begins anew")
    if changed.keys() & set(_BATCH):
        parts.append("batches are others, so rows come in another order from here on")
    return "; ".join(parts)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def on_top(cat: Catalogue, model: refs.Model, recipe: Recipe) -> Recipe:
    """The recipe of a new run that begins with the adapter of a run: that decides its shape.

    Raises:
        BadInput: a setting that was asked for and differs, or a damaged checkpoint.
        Conflict: the base is not what the adapter was trained on.
    """
    if model.run_id is None or model.step is None:
        return recipe
    run_dir = cat.workspace.run_dir(model.run_id)
    checkpoints.intact(run_dir, model.run_id, model.step)
    spec = specs.read(run_dir)
    same_base(cat, spec)
    asked, usual, has = (as_dict(r) for r in (recipe, Recipe(), spec.settings))
    for key in ADAPTER:
        if asked[key] not in (has[key], usual[key]):
            raise BadInput(
                f"{key}={_plain(asked[key])}: the adapter {model.ref} has {key}={_plain(has[key])}",
                f"Leave {key} out, or train from the base: --model {model.base_ref}.",
            )
    return replace(recipe, **{key: getattr(spec.settings, key) for key in ADAPTER})


def take_along(adapter: Path, run_dir: Path) -> str:
    """Copy an adapter into a run's folder; the name of the folder there."""
    target = run_dir / "start"
    target.mkdir(mode=0o700)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (target / name).write_bytes((adapter / name).read_bytes())
    return target.name
