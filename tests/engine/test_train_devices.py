"""A run on several devices is the run on one: the same rows in each step, shared and counted once.

Two processes on the CPU stand for two GPUs; what is spread over GPUs (FSDP2) is not tried here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from engine.machine.facts import Gpu, this_machine
from engine.render import Renderer
from engine.train import client
from engine.train import spec as specs
from engine.train.batches import Batch, Collator, training_loader
from engine.train.devices import launcher
from engine.train.devices.loading import of_rank
from engine.train.devices.sharing import Sharing, share
from engine.train.examples import IGNORED, Example, encode
from engine.train.methods.collating import PairCollator, VerdictCollator
from engine.train.recipe import Recipe, load, with_sets
from engine.train.recipe.fitting import refuse_for_machine
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, Unsupported
from store.runs import Run
from tests.engine.test_train_methods import again, rows, some
from tests.engine.train_fixtures import ended, losses, wait

pytestmark = pytest.mark.long

SHORT = (
    "max_steps=6",
    "save_steps=2",
    "eval_steps=6",
    "threads=1",
    "probe_tokens=4",
    "learning_rate=1e-3",
    "lora_dropout=0",
    "r=4",
)


def recipe(name: str, *sets: str) -> Recipe:
    return with_sets(load(name), sets)


# Which rows go where


def test_an_optimizer_step_keeps_its_rows() -> None:
    def shared(name: str, rows: int, passes: int, devices: int) -> Sharing:
        return share(
            recipe(
                name,
                f"per_device_train_batch_size={rows}",
                f"gradient_accumulation_steps={passes}",
                f"devices={devices}",
            )
        )

    assert shared("default", 1, 16, 4) == Sharing(4, whole=True, accumulation=4)
    assert shared("default", 8, 1, 2) == Sharing(2, whole=False, accumulation=1)
    assert shared("default", 8, 1, 3) == Sharing(3, whole=False, accumulation=1)
    assert shared("preference", 4, 4, 2) == Sharing(2, whole=False, accumulation=4)
    with pytest.raises(BadInput, match="devices=4: an optimizer step has 3 batches of 2 rows"):
        shared("default", 2, 3, 4)
    with pytest.raises(BadInput, match=r"per_device_train_batch_size=3 cannot be cut"):
        shared("kto", 3, 2, 2)


@pytest.mark.parametrize(
    "sharing", [Sharing(2, True, 1), Sharing(2, False, 1), Sharing(3, False, 1)]
)
def test_every_row_is_trained_once_in_the_step_it_belongs_to(
    starter: Path, sharing: Sharing
) -> None:
    examples = encode(rows("habit", 21), Renderer.load(starter), 512).examples
    whole = training_loader(examples, 4, 5, Collator(0), grouped=True)
    ranks = [of_rank(whole, sharing, rank, sequences=0) for rank in range(sharing.devices)]
    for epoch in (0, 1):
        for loader in (whole, *ranks):
            loader.set_epoch(epoch)
        batches = list(whole)
        if sharing.whole:
            batches = [{"labels": both} for both in _joined(batches, sharing.devices)]
        assert len(batches) == len(ranks[0]) == len(ranks[1])
        for batch, *parts in zip(batches, *ranks, strict=True):
            taken = sorted(line for part in parts for line in _lines(part["labels"]) if line)
            assert taken == sorted(_lines(batch["labels"]))


def _joined(batches: list[Batch], count: int) -> list[Any]:
    """Labels of `count` batches that follow each other."""
    groups = [batches[start : start + count] for start in range(0, len(batches), count)]
    return [[line for batch in group for line in batch["labels"]] for group in groups]


def _lines(labels: Any) -> list[list[int]]:
    return [[int(t) for t in line if t != IGNORED] for line in labels]


def test_a_batch_of_preferences_is_cut_after_it_is_complete(starter: Path) -> None:
    renderer = Renderer.load(starter)
    pairs: list[Example] = encode(rows("brief", 6), renderer, 512, "dpo").examples
    whole = training_loader(pairs, 4, 1, PairCollator(0))
    loaders = [of_rank(whole, Sharing(2, False, 1), rank, sequences=2) for rank in (0, 1)]
    for batch, first, second in zip(whole, *loaders, strict=True):
        count = len(batch["input_ids"]) // 2
        lines = batch["input_ids"]
        assert torch.equal(first["input_ids"], torch.cat([lines[:count:2], lines[count::2]]))
        assert torch.equal(
            second["input_ids"], torch.cat([lines[1:count:2], lines[count + 1 :: 2]])
        )
    marked = encode(rows("marked", 7), renderer, 512, "kto").examples
    collator = VerdictCollator(0, 512, marked, mismatched=True)
    whole = training_loader(marked, 4, 1, collator)
    loaders = [of_rank(whole, Sharing(2, False, 1), rank, sequences=1) for rank in (0, 1)]
    for batch, first, second in zip(whole, *loaders, strict=True):
        if len(batch["label"]) % 2:  # It cannot be cut evenly: both take all, to a half each.
            assert torch.equal(first["KL_input_ids"], second["KL_input_ids"])
            assert first["share"].tolist() == [0.5] * len(batch["label"])
        else:
            assert torch.equal(first["KL_input_ids"], batch["KL_input_ids"][0::2])
            assert torch.equal(second["label"], batch["label"][1::2])


# What is refused, and how it is launched


def test_more_devices_than_there_are_are_refused_by_name(cat: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="devices=64: this machine has no GPU"):
        client.start(cat, some(tmp_path, "habit", 40), "starter", recipe("default", "devices=64"))
    one = replace(this_machine(), gpus=(Gpu("H100", 80 << 30, (9, 0)),))
    if one.device == "cuda":  # With a torch built for CPUs a GPU counts for nothing.
        with pytest.raises(Unsupported, match="devices=2: this machine has 1 GPU"):
            refuse_for_machine(recipe("default", "devices=2"), one)


def test_qlora_on_gpus_is_sharded_and_all_else_is_copied(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "launch", lambda cat, run_id, *_, **__: runs.get(cat, run_id))
    run = _started(cat, tmp_path, "default", "habit", "devices=2", "threads=2")
    spec = specs.read(cat.workspace.run_dir(run.id))
    config = launcher.configuration(spec)
    assert (config["num_processes"], config["distributed_type"]) == (2, "MULTI_GPU")
    assert launcher.threads_each(spec) == 1
    on_gpu = msgspec.structs.replace(
        spec, device="cuda", recipe=spec.recipe | {"load_in_4bit": True, "dtype": "bfloat16"}
    )
    sharded = launcher.configuration(on_gpu)
    assert sharded["distributed_type"] == "FSDP" and sharded["mixed_precision"] == "bf16"
    assert sharded["fsdp_config"]["fsdp_version"] == 2
    assert "accelerate.commands.launch" in launcher.command(tmp_path)


# Two processes


def _started(cat: Catalogue, folder: Path, name: str, dataset: str, *sets: str) -> Run:
    data = some(folder, dataset, 30)
    return client.start(cat, data, "starter", recipe(name, *SHORT, *sets))


def _close(ours: list[tuple[int, float | None]], theirs: list[tuple[int, float | None]]) -> bool:
    assert [step for step, _ in ours] == [step for step, _ in theirs]
    pairs = zip(ours, theirs, strict=True)
    return all(a == pytest.approx(b, rel=1e-4, abs=1e-5) for (_, a), (_, b) in pairs)


def test_two_processes_learn_what_one_learns_stop_and_resume(
    cat: Catalogue, tmp_path: Path
) -> None:
    rows_of_a_step = ("per_device_train_batch_size=3", "gradient_accumulation_steps=2")
    with pytest.MonkeyPatch.context() as here:
        here.setattr(client, "launch", lambda cat, run_id, *_, **__: runs.get(cat, run_id))
        alone = _started(cat, tmp_path, "default", "habit", *rows_of_a_step)
    again(cat, alone.id)
    alone = client.refresh(cat, alone.id)
    both = _started(cat, tmp_path, "default", "habit", *rows_of_a_step, "devices=2")
    wait(cat, both.id, lambda run: run.step >= 2)
    client.stop(cat, both.id)
    stopped = wait(cat, both.id, ended)
    if stopped.status == "stopped":  # It may have been faster.
        assert stopped.step < 6
        client.resume(cat, both.id)
    done = wait(cat, both.id, ended)
    assert (done.status, done.step) == (alone.status, alone.step) == ("finished", 6)
    assert _close(losses(cat, both.id), losses(cat, alone.id))
    with client.reader(cat, both.id) as ours, client.reader(cat, alone.id) as theirs:
        for name in ("grad_norm", "eval_loss", "num_tokens", "token_accuracy", "eval_entropy"):
            assert _close(ours.exact(name), theirs.exact(name)), name
        assert [c.step for c in ours.checkpoints()] == sorted({c.step for c in ours.checkpoints()})
        assert {s.model for s in ours.samples()} == {"base", "adapter"}
        once = [(s.step, s.model, s.prompt) for s in ours.samples()]
        assert len(once) == len(set(once))
    folder = cat.workspace.run_dir(both.id) / "checkpoints" / "step-000006"
    assert {path.name for path in folder.iterdir()} >= {"rng_state_0.pth", "rng_state_1.pth"}
