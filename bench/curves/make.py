"""Train the starter under planted faults (heavy), all in one process, and keep the curves.

    python -m bench.curves.make recorded.json.gz [PART OF A NAME]

Training is the product's own: its renderer, order of batches, trainer and recorder. A fault is
planted in the examples, or by a hook on the adapter's gradients. What was made before is kept:
the script goes on where it was stopped.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import math
import random
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import assets
from bench.curves.plan import BATCH, EVERY, RATE, Planned, runs
from engine.data.rows import parse_row
from engine.render import Renderer
from engine.train import trainer as parts
from engine.train.asking import Asked
from engine.train.batches import EpochSampler
from engine.train.control import Control
from engine.train.examples import IGNORED, Example, encode
from engine.train.looking import Looking
from engine.train.recipe import as_dict, from_dict
from engine.train.recording import Recorder
from engine.train.schedule import Schedule
from engine.train.spec import Spec
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.rundb import RunReader, RunWriter
from store.snapshots import Snapshot
from store.workspace import Workspace

KEPT = ("loss", "grad_norm", "learning_rate", "entropy", "token_accuracy", "epoch")
MEASURED = ("eval_loss", "eval_entropy", "eval_token_accuracy")
HELD_OUT = 24
LONGEST = 64


class _Schedule(Schedule):
    """Evaluates at intervals, saves nothing."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        control = super().on_step_end(args, state, control, **kwargs)
        control.should_save = False
        return control


def main() -> None:
    """Make what is missing of the plan."""
    out = Path(sys.argv[1])
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    known = read(out)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    renderer = Renderer.load(assets.path("starter"))
    for plan in runs():
        if wanted in plan.name and plan.name not in known:
            began = time.perf_counter()
            known[plan.name] = make(plan, renderer)
            write(out, known)
            losses = known[plan.name]["curves"].get("loss", [[], [None]])[1]
            print(f"{plan.name:<40}{time.perf_counter() - began:6.1f} s  {losses[-1]}", flush=True)


def read(path: Path) -> dict[str, Any]:
    """Recorded curves by name."""
    found: dict[str, Any] = {}
    if path.is_file():
        found = json.loads(gzip.decompress(path.read_bytes()))
    return found


def write(path: Path, known: dict[str, Any]) -> None:
    """The same bytes for the same curves."""
    raw = json.dumps(known, separators=(",", ":"), sort_keys=True).encode()
    path.write_bytes(gzip.compress(raw, 9, mtime=0))


def make(plan: Planned, renderer: Renderer) -> dict[str, Any]:
    """One run, and its curves: metric to [steps, values]."""
    train, held = _examples(plan, renderer)
    spec = _spec(plan)
    bad = _plant(plan, train, spec.settings.seed)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        Catalogue.open(workspace).close()
        with RunWriter.open(Path(folder) / "run.db") as writer:
            _train(plan, spec, renderer, train, held, writer, Control(workspace, 1))
        with RunReader.open(Path(folder) / "run.db") as run_db:
            curves = {name: run_db.exact(name) for name in (*KEPT, *MEASURED)}
    kept = {
        name: [[step for step, _ in points], [_short(value) for _, value in points]]
        for name, points in curves.items()
        if points
    }
    tokens = sum(int((example.labels != IGNORED).sum()) for example in train)
    facts = {"rows": len(train), "held_out": len(held), "trained_tokens": tokens, "bad_rows": bad}
    return {"plan": asdict(plan), "facts": facts, "recipe": spec.recipe, "curves": kept}


def _examples(plan: Planned, renderer: Renderer) -> tuple[list[Example], list[Example]]:
    """Short rows of a shipped dataset, and held-out rows of the same world."""
    found = []
    for name in (f"{plan.dataset}.jsonl", f"{plan.dataset}.heldout.jsonl"):
        lines = assets.path("datasets", name).read_bytes().splitlines()
        rows = [parse_row(number, line) for number, line in enumerate(lines, 1)]
        examples = encode(rows, renderer, 1024).examples
        found.append([example for example in examples if len(example.ids) <= LONGEST])
    train, held = found
    pick = random.Random(plan.seed)
    pick.shuffle(train)
    train = train[: plan.rows or None]
    held = [train[i % len(train)] for i in range(HELD_OUT)] if plan.fault == "leak" else held
    return train, held[:HELD_OUT]


def _spec(plan: Planned) -> Spec:
    decays = plan.fault not in ("sweep", "random")
    recipe = from_dict(
        {
            "max_steps": plan.steps,
            "per_device_train_batch_size": BATCH,
            "learning_rate": RATE * plan.factor,
            "lr_scheduler_type": "cosine" if decays else "constant_with_warmup",
            "warmup_steps": min(5, plan.steps - 1),
            "seed": plan.seed,
            "r": 8,
            "lora_alpha": 16,
            "lora_dropout": plan.dropout,
            "load_in_4bit": False,
            "dtype": "float32",
            "threads": 1,
            "eval_steps": EVERY if plan.steps >= 2 * EVERY else 1,
            "train_sampling_strategy": "random",
            "probe_tokens": 0,
        }
    )
    snapshot = Snapshot("", 1, "", 0, 0, 0, 0, "", {}, 0)
    base = str(assets.path("starter"))
    return Spec(1, "", base, "", snapshot, as_dict(recipe), "cpu", {})


def _plant(plan: Planned, train: list[Example], seed: int) -> list[int]:
    """Put the fault into the examples; returns the lines of rows that were spoilt."""
    noise = np.random.default_rng(plan.seed + 1000)
    if plan.fault == "spike":
        sampler = EpochSampler([len(e.ids) for e in train], BATCH, seed, grouped=False)
        places = list(sampler)[plan.at - 1]
    elif plan.fault in ("random", "masked"):
        places = list(range(len(train)))
    else:
        return []
    for place in places:
        example = train[place]
        labels = example.labels.copy()
        if plan.fault == "masked":
            labels[:] = IGNORED
            train[place] = replace(example, labels=labels)
            continue
        trained = labels != IGNORED
        labels[trained] = noise.integers(10, 2048, int(trained.sum()))
        ids = np.where(trained, labels, example.ids).astype(np.int32)
        train[place] = replace(example, ids=ids, labels=labels)
    return sorted(train[place].row for place in places) if plan.fault == "spike" else []


def _train(
    plan: Planned,
    spec: Spec,
    renderer: Renderer,
    train: list[Example],
    held: list[Example],
    writer: RunWriter,
    control: Control,
) -> None:
    pad, recipe = renderer.pad_id or 0, spec.settings
    torch.manual_seed(plan.seed)
    recorder = Recorder(writer, writer.path.parent)
    built = parts.build(spec, pad, writer.path.parent)
    loader, held_out = parts.loaders(recipe, train, held, pad)
    schedule = _Schedule(recipe, recorder, control)
    built.add_callback(schedule)
    built.ours = parts.TrainingParts(
        recipe=recipe,
        versions={},
        loader=loader,
        eval_batches=held_out,
        recorder=recorder,
        control=control,
        looking=Looking(renderer, Asked(), recorder, None, untrained=True),
        schedule=schedule,
    )
    built.args.eval_on_start = True
    _hook(plan, built.model, built)
    with contextlib.suppress(WorkbenchError):  # The loss is not a number: that is the curve.
        built.train()


def _hook(plan: Planned, model: torch.nn.Module, built: Any) -> None:
    """Plant what is not in the data: gradients that vanish, or are no numbers."""
    if plan.fault not in ("frozen", "nan"):
        return

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        if plan.fault == "frozen":
            return torch.zeros_like(gradient)
        return gradient * math.nan if built.state.global_step + 1 == plan.at else gradient

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_hook(spoil)  # type: ignore[no-untyped-call]


def _short(value: float | None) -> float | None:
    """Five digits: more than any rule needs, and a third of the bytes."""
    return None if value is None else float(f"{value:.5g}")


if __name__ == "__main__":
    main()
