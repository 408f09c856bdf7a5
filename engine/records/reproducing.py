"""A run once more, from what was recorded of it; then the two held against each other.

The rows are the snapshot's, which is named by its content; the recipe has nothing left to choose.
What must be the same and is not is refused by name; what may differ is said. Knows the records and
what decides a run. Does not train: the repeat is a run like any other.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.data.split.frozen import read_meta
from engine.machine.facts import this_machine, versions
from engine.models.folder import file_sha256
from engine.records import curves, origin, tensors
from engine.records.curves import Gap
from engine.records.tracking import missing
from engine.render import Renderer
from engine.train import checkpoints
from engine.train import spec as specs
from engine.train.forking import same_base
from engine.train.launching import found_again, launch
from engine.train.spec import Spec
from engine.train.status import reader, refresh
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound, Unsupported
from store.runcopy import copy_until
from store.runs import Run

ADAPTER = "adapter_model.safetensors"
_NOT_READ = ("generation_config.json",)
"""Files of a base that decide how it answers, and nothing of how it learns."""


@dataclass(frozen=True, slots=True)
class Differing:
    """Something that was otherwise when the run was made, and may change its numbers."""

    name: str
    then: str
    now: str

    @property
    def words(self) -> str:
        return f"{self.name}: {self.then or 'none'} then, {self.now or 'none'} now"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A repeat that was started, and what is not as it was."""

    run: Run
    differing: tuple[Differing, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run and its repeat.

    Attributes:
        metrics: each metric over the steps that both have, those of the machine left out.
        step: the newest checkpoint that both have; None where there is none.
        adapter: how far the two adapters are apart there.
        identical: every common point and every bit of the adapter is the same.
        words: that in sentences.
    """

    metrics: tuple[Gap, ...]
    step: int | None
    adapter: tensors.Difference | None
    identical: bool
    words: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        found = self.adapter
        return {
            "identical": self.identical,
            "metrics": [item.as_dict() for item in self.metrics],
            "adapter": found
            and {
                "step": self.step,
                "equal": found.equal,
                "largest": found.largest if found.largest == found.largest else None,
                "tensor": found.tensor,
                "relative": found.relative if found.relative == found.relative else None,
                "only": list(found.only),
            },
            "words": list(self.words),
        }


def reproduce(cat: Catalogue, run_id: int, *, name: str | None = None) -> Repeat:
    """Start a run again from its records.

    Raises:
        NotFound: its rows, its base or the checkpoint it began from are gone.
        Conflict: one of them was altered. Unsupported: the device is not there.
        BadInput: the run was imported, so there is nothing to train from.
    """
    run = refresh(cat, run_id)
    run_dir = cat.workspace.run_dir(run_id)
    came_from = origin.read(run_dir)
    if came_from is not None and came_from.source is not None:
        raise BadInput(
            f"run {run_id} was imported: its rows and its base were not",
            "Only a run that was trained here can be repeated.",
        )
    spec = found_again(cat, run, specs.read(run_dir))
    refuse_changed(cat, spec, came_from.base_files if came_from else {})
    differing = [*_other_versions(spec.versions), *_otherwise(run, spec, came_from)]
    sends = [name for name in spec.settings.report_to if not missing([name])]
    if sends != list(spec.settings.report_to):
        gone = ",".join(missing(spec.settings.report_to))
        differing.append(Differing("report_to", gone, "not installed, so left out"))
    recipe = spec.recipe | {"report_to": sends}
    begin = _beginning(run, run_dir, spec)
    again = runs.create(
        cat,
        model=run.model,
        dataset=run.dataset,
        recipe=recipe,
        seed=spec.settings.seed,
        name=name or f"{run.name}-again",
        note=f"repeats run {run_id}",
        snapshot=run.snapshot,
        base_sha256=run.base_sha256,
        template_sha256=run.template_sha256,
        versions=versions(),
        machine=this_machine().as_dict(),
        split=run.split,
        parent=run.parent,
        forked_step=run.forked_step,
        method=run.method,
    )
    target = cat.workspace.run_dir(again.id)
    target.mkdir(mode=0o700, parents=True)
    for folder in begin:
        _begin_there(run, run_dir, target, folder)
    told = tuple(item for item in spec.history if item.kind == "forked")
    specs.write(
        target,
        msgspec.structs.replace(
            spec,
            run_id=again.id,
            recipe=recipe,
            versions=versions(),
            history=told,
            choices=(),
            patience_from=(run.forked_step or 0) if spec.forked else 0,
        ),
    )
    asked = came_from.asked if came_from else None
    here = origin.here(base=Path(spec.base), asked=asked, repeats=run_id)
    data = came_from.data if came_from else ()
    origin.write(target, msgspec.structs.replace(here, data=data))
    return Repeat(launch(cat, again.id, spec.settings.threads), tuple(differing))


def _begin_there(run: Run, run_dir: Path, target: Path, begin: Path) -> None:
    """Give a repeat the weights that its run began with, and a fork's the curve up to there."""
    shutil.copytree(begin, target / begin.relative_to(run_dir))
    if begin.parent.name == specs.CHECKPOINTS and run.forked_step is not None:
        copy_until(run_dir / specs.DATABASE, target / specs.DATABASE, run.forked_step)


def refuse_changed(cat: Catalogue, spec: Spec, base_files: Mapping[str, str]) -> None:
    """See that rows and base are what the run was made of, to the byte.

    Raises:
        NotFound, Conflict, Unsupported: naming the file.
    """
    _same_rows(spec)
    same_base(cat, spec)
    base = Path(spec.base)
    found = {name: recorded for name, recorded in base_files.items() if name not in _NOT_READ}
    if spec.tokenizer_sha256 is not None:
        found["tokenizer.json"] = spec.tokenizer_sha256
    for name, recorded in found.items():
        path = base / name
        if not path.is_file() or file_sha256(path) != recorded:
            what = "was altered" if path.is_file() else "is gone"
            raise Conflict(
                f"{path} {what} since run {spec.run_id} was made (sha256 differs)",
                "Put the old file back.",
            )
    if spec.template_sha256 not in (None, Renderer.load(base).template_sha256):
        raise Conflict(
            f"{base}: the chat template changed since run {spec.run_id} was made",
            "Put the old files back.",
        )
    if spec.device == "cuda" and this_machine().device != "cuda":
        raise Unsupported(
            f"run {spec.run_id} was trained on a GPU, and this machine has none",
            "Repeat it where a GPU is.",
        )


def outcome(cat: Catalogue, first: Run, second: Run) -> Outcome:
    """Hold a repeat against its run, as far as both went."""
    with reader(cat, first.id) as one, reader(cat, second.id) as two:
        names = [name for name in one.names() if name not in curves.OF_THE_MACHINE]
        gaps = tuple(
            curves.gap(name, dict(one.exact(name)), dict(two.exact(name))) for name in names
        )
    kept = [
        {saved.step: saved.path for saved in checkpoints.complete(cat.workspace.run_dir(run.id))}
        for run in (first, second)
    ]
    step = max(kept[0].keys() & kept[1].keys(), default=None)
    found = None
    if step is not None:
        found = tensors.difference(*(saved[step] / ADAPTER for saved in kept))
    same = bool(gaps) and all(item.same for item in gaps)
    identical = same and found is not None and found.equal
    return Outcome(gaps, step, found, identical, tuple(_words(first, second, gaps, step, found)))


def _words(
    first: Run, second: Run, gaps: tuple[Gap, ...], step: int | None,
    found: tensors.Difference | None,
) -> list[str]:  # fmt: skip
    words = []
    apart = [item for item in gaps if item.steps and not item.same]
    steps = max((item.steps for item in gaps), default=0)
    if not steps:
        words.append("the two runs have no step in common")
    elif not apart:
        words.append(f"every metric is bit-equal at all {steps:,} common steps")
    else:
        words.append("metrics that differ, by how much at most:")
        words += [
            f"  {item.metric}: {item.largest:.3g} at step {item.at:,}, {item.equal:,} of "
            f"{item.steps:,} points bit-equal"
            for item in apart
            if item.largest is not None
        ]
    if found is None:
        words.append("no checkpoint of the same step is left in both, so no adapter is compared")
    elif found.equal:
        words.append(f"the adapter at step {step:,} is bit-equal")
    else:
        words.append(
            f"the adapter at step {step:,} differs by {found.largest:.3g} at most "
            f"({found.tensor}), {found.relative:.2e} of its length"
        )
    if second.step != first.step:
        words.append(f"run {first.id} took {first.step:,} steps, run {second.id} {second.step:,}")
    if apart and first.machine.get("device") == "cuda":
        words.append("on a GPU sums are not taken in a fixed order: small differences are normal")
    return words


def _same_rows(spec: Spec) -> None:
    folder = Path(spec.snapshot.path)
    if not (folder / "meta.json").is_file():
        raise NotFound(f"{folder}: the run's frozen rows are gone", "Put the folder back.")
    raw = (folder / "meta.json").read_bytes()
    if hashlib.sha256(raw).hexdigest() != spec.snapshot.sha256:
        raise Conflict(f"{folder}/meta.json: the snapshot was altered", "Put the file back.")
    meta = read_meta(spec.snapshot)
    hashes = meta.sha256 or {"train.jsonl": meta.train_sha256, "eval.jsonl": meta.eval_sha256}
    for name, recorded in hashes.items():
        path = folder / name
        if not path.is_file():
            raise NotFound(f"{path}: the run's frozen rows are gone", "Put the file back.")
        if file_sha256(path) != recorded:
            raise Conflict(
                f"{path}: the run's frozen rows were altered (sha256 differs)",
                "Put the file back.",
            )


def _other_versions(then: Mapping[str, str]) -> list[Differing]:
    now = versions()
    names = sorted(then.keys() | now.keys())
    return [
        Differing(name, then.get(name, ""), now.get(name, ""))
        for name in names
        if then.get(name, "") != now.get(name, "")
    ]


def _otherwise(run: Run, spec: Spec, came_from: origin.Origin | None) -> list[Differing]:
    """Machine, program and history, as far as they may change a number."""
    here, found = this_machine().as_dict(), []
    for name in ("cpu", "gpus", "device") if spec.device == "cuda" else ("cpu", "device"):
        then, now = run.machine.get(name), msgspec.to_builtins(here[name])
        if msgspec.json.encode(then) != msgspec.json.encode(now):
            found.append(Differing(name, _short(then), _short(now)))
    program = origin.here()
    if came_from is not None:
        before, after = (_commit(o) for o in (came_from, program))
        if before != after:
            found.append(Differing("Workbench", before, after))
    for told in spec.history:
        if told.kind == "extended":
            found.append(Differing("length", told.text, "its final length from the first step on"))
    if spec.settings.max_minutes:
        found.append(Differing("end", "by the clock", "by the clock, perhaps at another step"))
    return found


def _commit(found: origin.Origin) -> str:
    git = found.program_git
    changed = " with changes" if git is not None and git.dirty else ""
    return f"{found.program}{f' at {git.commit[:12]}{changed}' if git else ''}"


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _beginning(run: Run, run_dir: Path, spec: Spec) -> list[Path]:
    """The folders, within the run's, of the weights that it began with; none where it began anew.

    A fork has its checkpoint, and the adapter that its parent began on.

    Raises:
        NotFound: one was not kept. Conflict: it was altered.
    """
    adapter = [run_dir / spec.start] if spec.start is not None else []
    if run.forked_step is None or (adapter and not spec.forked):
        return adapter
    folder = checkpoints.folder(run_dir, run.forked_step)
    if not folder.is_dir():
        raise NotFound(
            f"run {run.id} began from step {run.forked_step} of run {run.parent}, and its copy of "
            "that checkpoint was not kept",
            f"Fork again with the same settings: workbench fork {run.parent} "
            f"--step {run.forked_step}.",
        )
    wrong = checkpoints.verify(folder)
    if wrong:
        raise Conflict(f"run {run.id}: {wrong[0]}", "What it began from cannot be had again.")
    return [*adapter, folder]
