"""Runs of other programs, read from the `trainer_state.json` that Hugging Face's trainers leave.

Each becomes a finished run with its metrics, so that it can be looked at, diagnosed and compared.
An adapter that lies beside the file becomes its checkpoint. Knows the file's shape in its many
versions, and takes what is there. Does not train, and does not know what the run saw.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.machine.facts import versions
from engine.records import origin
from engine.train import checkpoints
from engine.train import spec as specs
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, WorkbenchError
from store.rundb import RunWriter
from store.runs import Run

STATE = "trainer_state.json"
METRICS = {
    "mean_token_accuracy": "token_accuracy",
    "eval_mean_token_accuracy": "eval_token_accuracy",
    "train_loss": "",
    "total_flos": "",
    "step": "",
}
"""Other names of our metrics; an empty one is left out, for it is no curve."""

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
_MOST = 512 << 20
_CLOCK = ("_runtime", "_per_second")
_SETTINGS = {
    "max_steps": "max_steps",
    "num_train_epochs": "num_train_epochs",
    "train_batch_size": "per_device_train_batch_size",
    "eval_steps": "eval_steps",
    "save_steps": "save_steps",
}
_ADAPTER = ("r", "lora_alpha", "lora_dropout", "use_dora", "use_rslora")
_TOTALS = "train_"


@dataclass(frozen=True, slots=True)
class Imported:
    """A run that was read, or was there already.

    Attributes:
        new: False where the same file was imported before.
        notes: what of the file was left out, and why.
    """

    run: Run
    new: bool
    metrics: tuple[str, ...]
    points: int
    checkpoint: int | None
    notes: tuple[str, ...]


def import_state(
    cat: Catalogue, path: Path, *, name: str | None = None, model: str | None = None
) -> Imported:
    """Read a `trainer_state.json`, or the newest one of a folder.

    Args:
        model: reference of the base; None takes what the adapter beside the file names.
    Raises:
        BadInput: it is not such a file, or has no history.
    """
    file = find(path)
    raw = _bytes(file)
    digest = hashlib.sha256(raw).hexdigest()
    known = _already(cat, digest)
    if known is not None:
        return Imported(known, False, (), 0, None, ("it was imported before",))
    state = _parsed(file, raw)
    by_step, notes = _metrics(state)
    if not by_step:
        raise BadInput(
            f"{file}: log_history has no number of any step",
            "It is written once the trainer has logged: see logging_steps.",
        )
    adapter = _adapter(file.parent)
    run = runs.create(
        cat,
        model=model or _base_of(adapter),
        dataset=str(file),
        recipe=_recipe(state, adapter, by_step),
        seed=0,
        name=name or f"{_folder_name(file)} (imported)",
        note=f"imported from {file}",
        status="finished",
        versions={},
        method="sft",
    )
    run_dir = cat.workspace.run_dir(run.id)
    try:
        run_dir.mkdir(mode=0o700, parents=True)
        origin.write(run_dir, origin.here(source=file))
        saved = _checkpoint(run_dir, file.parent, state, adapter, notes)
        _write(run_dir, by_step, state, saved, file, notes)
    except BaseException:
        shutil.rmtree(run_dir, ignore_errors=True)
        runs.update(cat, run.id, status="failed", reason="its import was not finished")
        raise
    run = _summed_up(cat, run, by_step, state, saved)
    names = tuple(dict.fromkeys(name for values in by_step.values() for name in values))
    points = sum(len(values) for values in by_step.values())
    return Imported(run, True, names, points, saved.step if saved else None, tuple(notes))


def find(path: Path) -> Path:
    """The file itself; of a folder its own, else that of its newest `checkpoint-N`.

    Raises:
        BadInput: there is none.
    """
    if path.is_file():
        return path.resolve()
    inside = [path / STATE] if (path / STATE).is_file() else []
    inside = inside or sorted(path.glob(f"checkpoint-*/{STATE}"), key=_number)
    if not inside:
        raise BadInput(f"{path}: no {STATE} there", "Name the file, or the trainer's output_dir.")
    return inside[-1].resolve()


def _number(path: Path) -> int:
    digits = path.parent.name.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else -1


def _bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > _MOST:
            raise BadInput(f"{file}: larger than {_MOST >> 20} MB", f"Expected a {STATE}.")
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}", "Check the path.") from error


def _parsed(file: Path, raw: bytes) -> dict[str, Any]:
    try:
        state = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file}: not JSON ({error})", f"Expected a {STATE}.") from error
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise BadInput(
            f"{file}: expected an object with log_history, a list of logged values",
            f"Name the {STATE} of a Hugging Face trainer.",
        )
    return state


def _already(cat: Catalogue, digest: str) -> Run | None:
    """The run that was made of the same bytes; one whose import broke off does not count."""
    for run in runs.all(cat):
        if run.status == "finished" and run.snapshot is None:
            came_from = origin.read(cat.workspace.run_dir(run.id))
            if came_from and came_from.source and came_from.source.sha256 == digest:
                return run
    return None


def _metrics(state: Mapping[str, Any]) -> tuple[dict[int, dict[str, float]], list[str]]:
    """Every logged number by step, under our names, and what was left out."""
    by_step: dict[int, dict[str, float]] = {}
    strange = 0
    for entry in state["log_history"]:
        step = _whole(entry.get("step")) if isinstance(entry, dict) else None
        if step is None or step < 0:
            strange += 1
            continue
        for key, raw in entry.items():
            name = METRICS.get(key, key)
            value = _float(raw)
            if not name or value is None or key.startswith(_TOTALS) or key.endswith(_CLOCK):
                continue
            by_step.setdefault(step, {})[name] = value
    notes = [f"{strange} entries of log_history have no step and were left out"] if strange else []
    return dict(sorted(by_step.items())), notes


def _float(value: object) -> float | None:
    """A number, NaN and infinities too; also as text, as some trainers log it."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _whole(value: object) -> int | None:
    number = _float(value)
    if number is None or not math.isfinite(number) or abs(number) >= 2**53:
        return None
    return int(number)


def _adapter(folder: Path) -> dict[str, Any]:
    """The settings of the adapter beside the file; empty where there is none that can be read."""
    try:
        found = json.loads((folder / _CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _base_of(adapter: Mapping[str, Any]) -> str:
    """The base as a reference, as far as it is known; `unknown` loads nothing."""
    named = adapter.get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        return "unknown"
    if Path(named).is_dir():
        return str(Path(named).resolve())
    return f"hub:{named}" if named.count("/") == 1 and not named.startswith(("/", ".")) else named


def _recipe(
    state: Mapping[str, Any], adapter: Mapping[str, Any], by_step: Mapping[int, Mapping[str, float]]
) -> dict[str, Any]:
    """What the files say of the settings, under our names; nothing is filled in."""
    found: dict[str, Any] = {}
    for theirs, ours in _SETTINGS.items():
        value = _float(state.get(theirs))
        if value is not None and math.isfinite(value) and value > 0:
            found[ours] = int(value) if value == int(value) else value
    for key in _ADAPTER:
        if isinstance(adapter.get(key), bool | int | float):
            found[key] = adapter[key]
    targets = adapter.get("target_modules")
    if isinstance(targets, list):
        found["target_modules"] = sorted(map(str, targets))
    rates = [v["learning_rate"] for v in by_step.values() if "learning_rate" in v]
    known = [rate for rate in rates if math.isfinite(rate)]
    if known:
        found["learning_rate"] = max(known)
    return found


def _folder_name(file: Path) -> str:
    folder = file.parent
    named = folder.parent if folder.name.startswith("checkpoint-") else folder
    return named.name or "run"


def _checkpoint(
    run_dir: Path,
    folder: Path,
    state: Mapping[str, Any],
    adapter: Mapping[str, Any],
    notes: list[str],
) -> checkpoints.Checkpoint | None:
    """Copy the adapter beside the file into the run, as a checkpoint of the file's step."""
    if not (folder / _WEIGHTS).is_file() or not adapter:
        return None
    step = _whole(state.get("global_step"))
    if step is None or step < 0:
        notes.append("the adapter was left out: the file does not say its step")
        return None
    files = ((name, (folder / name).read_bytes()) for name in (_WEIGHTS, _CONFIG))
    return checkpoints.write(run_dir, step, files, versions(), _measured(state, step))


def _measured(state: Mapping[str, Any], step: int) -> float | None:
    """The held-out loss at a step."""
    for entry in reversed(state["log_history"]):
        if isinstance(entry, dict) and _whole(entry.get("step")) == step and "eval_loss" in entry:
            value = _float(entry["eval_loss"])
            return value if value is not None and math.isfinite(value) else None
    return None


def _write(
    run_dir: Path,
    by_step: Mapping[int, Mapping[str, float]],
    state: Mapping[str, Any],
    saved: checkpoints.Checkpoint | None,
    file: Path,
    notes: list[str],
) -> None:
    """The run's database, as a training process would have left it."""
    with RunWriter.open(run_dir / specs.DATABASE) as writer:
        writer.event("imported", f"imported from {file}")
        for note in notes:
            writer.event("warning", note, level="warn")
        for step, values in by_step.items():
            writer.metrics(step, values)
        if saved is not None:
            writer.checkpoint(
                saved.step, saved.path, saved.bytes, saved.manifest_sha256, saved.eval_loss
            )
        last, total = max(by_step), _whole(state.get("max_steps"))
        ended = max(_whole(state.get("global_step")) or 0, last)
        writer.state("finished", step=ended, total_steps=total or None, reason=_reason(ended))
        if writer.pending:
            raise WorkbenchError(
                f"{writer.path}: {writer.trouble}", "Make room on that disk, then try again."
            )


def _reason(ended: int) -> str:
    return f"imported; its trainer wrote this at step {ended:,}"


def _summed_up(
    cat: Catalogue,
    run: Run,
    by_step: Mapping[int, Mapping[str, float]],
    state: Mapping[str, Any],
    saved: checkpoints.Checkpoint | None,
) -> Run:
    """The catalogue's row, as `refresh` would bring it up to date."""
    newest: dict[str, float | None] = {}
    for values in by_step.values():
        for name in ("loss", "eval_loss"):
            if name in values:
                newest[name] = values[name] if math.isfinite(values[name]) else None
    ended = max(_whole(state.get("global_step")) or 0, max(by_step))
    return runs.update(
        cat,
        run.id,
        step=ended,
        total_steps=_whole(state.get("max_steps")) or None,
        loss=newest.get("loss"),
        eval_loss=newest.get("eval_loss"),
        best_step=saved.step if saved and saved.eval_loss is not None else None,
        reason=_reason(ended),
    )
