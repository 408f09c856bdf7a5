"""Text and preferences: what reaches the model is what the renderer shows; runs resume exactly.

The jobs run in this process, one after the other, so that torch is imported once.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import assets
from engine.data.findings.preflight import look
from engine.data.rows import Row, parse_row
from engine.render import Renderer
from engine.render.purposes import Drawn, draw
from engine.train import blocks, checkpoints, client, forking
from engine.train.examples import IGNORED, encode
from engine.train.recipe import LOSSES, load, with_sets
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput
from store.runs import Run
from tests.engine.train_fixtures import losses

pytestmark = pytest.mark.long

STEPS, SAVED = 4, 2
SHORT = (
    f"max_steps={STEPS}",
    f"save_steps={SAVED}",
    f"eval_steps={STEPS}",
    "per_device_train_batch_size=4",
    "gradient_accumulation_steps=1",
    "lora_dropout=0.05",
    "warmup_steps=1",
    "learning_rate=1e-3",
    "probe_tokens=0",
    "threads=1",
    "r=4",
)
RUNS = {
    "dpo": ("preference", "brief", "load_in_4bit=false"),
    "dpo-nf4": ("preference", "brief", "load_in_4bit=true", "gradient_accumulation_steps=2"),
    "kto": ("kto", "marked", "load_in_4bit=false"),
    "text": ("text", "island", "max_length=64", "load_in_4bit=false"),
}
REWARDS = ("rewards/chosen", "rewards/rejected", "rewards/margins")


def rows(name: str, count: int | None = None) -> list[Row]:
    lines = assets.path("datasets", f"{name}.jsonl").read_bytes().splitlines()[:count]
    return [parse_row(number, line) for number, line in enumerate(lines, 1)]


def some(folder: Path, name: str, count: int) -> Path:
    """The first rows of a shipped dataset in a file of their own."""
    path = folder / f"{name}.jsonl"
    path.write_bytes(b"".join(row.raw + b"\n" for row in rows(name, count)))
    return path


@pytest.fixture
def job(cat: Catalogue, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Start a run as ever, but do its job in this process."""

    def here(catalogue: Catalogue, run_id: int, *_: Any, **__: Any) -> Run:
        return runs.get(catalogue, run_id)

    monkeypatch.setattr(client, "launch", here)
    monkeypatch.setattr(forking, "launch", here)

    def do(data: Path, recipe: str, sets: list[str], model: str = "starter") -> Run:
        run = client.start(cat, data, model, with_sets(load(recipe), sets))
        again(cat, run.id)
        return client.refresh(cat, run.id)

    return do


def again(cat: Catalogue, run_id: int) -> None:
    from engine.train import worker

    folder = cat.workspace.run_dir(run_id)
    assert worker.main([str(folder)]) == 0, [e.text for e in client.reader(cat, run_id).events()]


# What reaches the model


def test_a_pair_is_two_renderings_of_which_only_the_answers_are_trained(starter: Path) -> None:
    renderer = Renderer.load(starter)
    asked = [
        {"role": "user", "content": "Is rice food?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "And a saw?"},
    ]
    better, worse = ([{"role": "assistant", "content": text}] for text in ("No.", "A saw is no."))
    line = json.dumps({"prompt": asked, "chosen": better, "rejected": worse}).encode()
    [example] = encode([parse_row(1, line)], renderer, 512, "dpo").examples
    assert example.rejected is not None
    for sequence, answer in ((example, better), (example.rejected, worse)):
        whole = renderer.render_row(parse_row(1, json.dumps({"messages": asked + answer}).encode()))
        prompt = renderer.render_row(parse_row(1, json.dumps({"messages": asked}).encode()))
        assert sequence.ids.tolist() == whole.ids
        trained = [t for t, label in zip(whole.ids, sequence.labels, strict=True) if label >= 0]
        # The earlier answer is prompt; the renderer alone would train it.
        assert sum(whole.mask) > len(trained)
        assert renderer.decode(trained, special=True) == f"{answer[0]['content']}<|end|>"
        assert whole.ids[: len(prompt.ids)] == prompt.ids


def test_batches_hold_the_renderers_ids_and_nothing_else(starter: Path) -> None:
    from engine.train.methods.collating import PairCollator, VerdictCollator

    renderer = Renderer.load(starter)
    pairs = encode(rows("brief", 5), renderer, 512, "dpo").examples
    batch = PairCollator(0)(pairs)
    drawn = [d for d in draw(renderer, rows("brief", 5), "dpo") if isinstance(d, Drawn)]
    seen = [d.sequence for d in drawn] + [d.rejected for d in drawn if d.rejected is not None]
    assert len(seen) == len(batch["input_ids"]) == 10
    for line, one in enumerate(seen):
        n = len(one.ids)
        assert batch["input_ids"][line].tolist()[:n] == one.ids
        assert batch["completion_mask"][line].tolist() == one.mask() + [0] * (
            batch["input_ids"].shape[1] - n
        )
        assert batch["attention_mask"][line].sum() == n

    marked = encode(rows("marked", 4), renderer, 512, "kto").examples
    batch = VerdictCollator(0, 512, marked, mismatched=True)(marked)
    assert batch["label"].tolist() == [row.label for row in rows("marked", 4)]
    for line, (mine, before) in enumerate(zip(marked, [marked[-1], *marked], strict=False)):
        ids, kept = batch["KL_input_ids"][line], batch["KL_completion_mask"][line].bool()
        assert ids[kept].tolist() == before.ids[before.labels != IGNORED].tolist()
        prompt = int((mine.labels == IGNORED).argmin())
        assert ids[:prompt].tolist() == mine.ids[:prompt].tolist()
    single = VerdictCollator(0, 512, marked, mismatched=True)(marked[:1])
    assert single["KL_input_ids"][0].tolist() != marked[0].ids.tolist()


@pytest.mark.parametrize("length", [8, 33, 10_000])
def test_text_becomes_blocks_without_losing_a_token(starter: Path, length: int) -> None:
    renderer = Renderer.load(starter)
    found = encode(rows("island"), renderer, length, "text")
    documents = [d.sequence for d in draw(renderer, rows("island"), "text") if isinstance(d, Drawn)]
    stream = list(itertools.chain.from_iterable(document.ids for document in documents))
    assert found.rows == len(documents)
    assert len(found.examples) == blocks.count(len(stream), length)
    assert all(document.ids[-1] == renderer.eos_id for document in documents)
    joined = list(found.examples[0].ids)
    for before, block in itertools.pairwise(found.examples):
        assert block.ids[0] == before.ids[-1] and block.labels[0] == IGNORED
        joined += block.ids[1:].tolist()
    assert joined == stream
    # Every token that the renderer trains is a target exactly once.
    targets = [int(t) for e in found.examples for t in e.labels[1:] if t != IGNORED]
    trained = [t for d in documents for t, kept in zip(d.ids, d.mask(), strict=True) if kept]
    assert targets == (trained if documents[0].bos else trained[1:])


def test_rows_of_another_shape_are_named_with_the_way_out(cat: Catalogue, tmp_path: Path) -> None:
    for method, name, way in (
        ("preference", "habit", "--recipe default"),
        ("preference", "marked", "--recipe kto"),
        ("kto", "brief", "workbench data convert .*brief.jsonl --to kto --out NEW.jsonl"),
        ("text", "brief", "--recipe preference"),
    ):
        with pytest.raises(BadInput, match=r"8 of 8 rows .*line 1: ") as refused:
            client.start(cat, some(tmp_path, name, 8), "starter", load(method))
        assert refused.match(f"method={load(method).method}")
        assert re.search(way, refused.value.hint), refused.value.hint
    assert runs.all(cat) == []
    both = tmp_path / "both.jsonl"
    both.write_bytes(b"\n".join(row.raw for row in [*rows("brief", 9), *rows("habit", 2)]) + b"\n")
    with pytest.raises(BadInput, match=r"2 of 11 rows .*line 10: a conversation; method=dpo"):
        client.start(cat, both, "starter", load("preference"))


def test_preflight_knows_what_a_pair_loses(starter: Path) -> None:
    renderer = Renderer.load(starter)
    found = look(rows("brief", 20), renderer, 18, "dpo")
    assert found.count("cut") and found.counts.keys() <= {"cut", "nothing_trained"}
    assert any(f.detail.startswith("the rejected answer: ") for f in found.findings)
    whole = look(rows("brief", 20), renderer, None, "dpo")
    assert (whole.fine, whole.dropped, whole.cut_tokens) == (20, 0, 0)
    examples = encode(rows("brief", 20), renderer, 512, "dpo").examples
    assert whole.total_tokens == sum(example.tokens for example in examples)
    assert whole.longest == max(example.longest for example in examples)
    same = {"prompt": "Is rice food?", "chosen": "Yes.", "rejected": "Yes."}
    row = parse_row(7, json.dumps(same).encode())
    assert look([row], renderer, None, "dpo").counts == {"same_answers": 1}
    assert encode([row], renderer, 512, "dpo").notes == [
        (7, "line 7: left out, both answers are the same")
    ]


# Whole runs


@pytest.mark.parametrize("name", RUNS)
def test_a_method_learns_records_and_resumes_bit_for_bit(
    cat: Catalogue, job: Callable[..., Run], tmp_path: Path, name: str
) -> None:
    recipe, dataset, *sets = RUNS[name]
    run = job(some(tmp_path, dataset, 40), recipe, [*SHORT, *sets])
    assert (run.status, run.method) == ("finished", load(recipe).method)
    folder = cat.workspace.run_dir(run.id)
    undisturbed = losses(cat, run.id)
    assert [step for step, _ in undisturbed] == list(range(1, STEPS + 1))
    with client.reader(cat, run.id) as run_db:
        (_, before), (_, after) = run_db.exact("eval_loss")
        names = set(run_db.names())
        recorded = {n: run_db.exact(n) for n in names}
        said = [event.text for event in run_db.events() if event.kind == "rows"]
    assert before is not None and after is not None
    if name == "text":
        assert after < before
        assert any("each with its end-of-text, cut into" in text for text in said)
    else:
        assert {*REWARDS, "logps/chosen", "logps/rejected"} <= names
        assert {f"eval_{reward}" for reward in REWARDS} <= names
        # The reference is the base: before the first step the adapter is no different from it.
        for reward in REWARDS:
            assert recorded[f"eval_{reward}"][0] == (0, 0.0)
        learned = recorded["eval_rewards/margins"][-1][1]
        assert learned is not None and learned > 0
        assert "rewards/accuracies" in names if recipe == "preference" else "kl" in names
    end = checkpoints.folder(folder, STEPS)
    weights = load_file(end / "adapter_model.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {"float32"}
    shutil.rmtree(end)
    again(cat, run.id)
    assert losses(cat, run.id) == undisturbed
    repeated = load_file(end / "adapter_model.safetensors")
    assert all((weights[key] == repeated[key]).all() for key in weights)
    with client.reader(cat, run.id) as run_db:
        assert run_db.exact("eval_loss")[-1] == (STEPS, after)


def test_on_top_of_an_adapter_that_adapter_is_the_reference(
    cat: Catalogue, job: Callable[..., Run], tmp_path: Path
) -> None:
    first = job(some(tmp_path, "habit", 40), "default", [*SHORT, "load_in_4bit=true"])
    pairs = some(tmp_path, "brief", 40)
    sets = [*SHORT, "load_in_4bit=true", "use_rslora=false"]
    run = job(pairs, "preference", [*sets, "r=4"], f"run:{first.id}")
    with client.reader(cat, run.id) as run_db:
        rewards = {name: run_db.exact(f"eval_{name}") for name in REWARDS}
        undisturbed = losses(cat, run.id)
    assert all(points[0] == (0, 0.0) for points in rewards.values())
    learned = rewards["rewards/margins"][-1][1]
    assert learned is not None and learned > 0
    end = checkpoints.folder(cat.workspace.run_dir(run.id), STEPS)
    assert not any("ref" in name for name in load_file(end / "adapter_model.safetensors"))
    shutil.rmtree(end)
    again(cat, run.id)
    assert losses(cat, run.id) == undisturbed
    half = checkpoints.complete(cat.workspace.run_dir(run.id))[0].step
    fork = client.fork(cat, client.fork(cat, run.id, half).id, half)
    again(cat, fork.id)
    assert losses(cat, fork.id) == undisturbed
    left = client.fork(cat, run.id, half)
    shutil.rmtree(checkpoints.folder(cat.workspace.run_dir(left.id), half))
    with pytest.raises(AssertionError, match="began from is damaged or gone"):
        again(cat, left.id)


def trainer_of(name: str, starter: Path, folder: Path, *sets: str) -> Any:
    """A trainer whose adapter has moved a little from the base."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from engine.train.loading import lora, ready
    from engine.train.methods import preference

    recipe = with_sets(load(name), ["max_length=512", *sets])
    base = AutoModelForCausalLM.from_pretrained(starter, dtype=torch.float32)
    common = {"output_dir": str(folder), "use_cpu": True, "bf16": False, "report_to": []}
    tokenizer = AutoTokenizer.from_pretrained(starter)
    trainer = preference.make(recipe, base, common, tokenizer, lora(recipe))
    ready(trainer.model)
    torch.manual_seed(1)
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.02 * torch.randn_like(parameter)
    return trainer


@pytest.mark.parametrize(("name", "data"), [("preference", "brief"), ("kto", "marked")])
def test_a_batch_in_pieces_has_the_loss_of_the_whole(
    starter: Path, tmp_path: Path, name: str, data: str
) -> None:
    """Where memory runs out a batch is cut; what its rows are measured against is not."""
    import torch

    from engine.train.methods.collating import PairCollator, VerdictCollator

    method: Any = load(name).method
    usual = LOSSES[method][0]
    trainer = trainer_of(name, starter, tmp_path, f"loss_type={usual}")
    examples = encode(rows(data, 5), Renderer.load(starter), 512, method).examples
    collator = PairCollator(0)
    if name == "kto":
        collator = VerdictCollator(0, 512, examples, mismatched=True)  # type: ignore[assignment]
    batch = collator(examples)
    with torch.no_grad():
        whole, pieces = (
            sum(
                trainer.compute_loss(trainer.model, piece, num_items_in_batch=torch.tensor(5))
                for piece, _ in trainer.pieces_of(batch, count)
            )
            for count in (1, 3)
        )
    assert torch.allclose(whole, pieces, atol=1e-6)
    assert trainer.rows_of(batch) == 5


def test_the_loss_is_the_formula_of_the_paper(starter: Path, tmp_path: Path) -> None:
    """DPO by hand: logits of the model with and without its adapter, on the same ids."""
    import torch

    from engine.train.methods.collating import PairCollator

    trainer = trainer_of("preference", starter, tmp_path, "beta=0.3", "loss_type=sigmoid")
    examples = encode(rows("brief", 3), Renderer.load(starter), 512, "dpo").examples
    batch = PairCollator(0)(examples)
    with torch.no_grad():
        found = trainer.compute_loss(trainer.model, dict(batch))

        def logps() -> torch.Tensor:
            out = trainer.model(batch["input_ids"], attention_mask=batch["attention_mask"])
            each = out.logits[:, :-1].log_softmax(-1)
            taken = each.gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
            summed: torch.Tensor = (taken * batch["completion_mask"][:, 1:]).sum(1)
            return summed

        policy = logps()
        with trainer.model.disable_adapter():
            reference = logps()
    better, worse = (policy - reference).chunk(2)
    expected = -torch.nn.functional.logsigmoid(0.3 * (better - worse)).mean()
    assert torch.allclose(found, expected, atol=1e-5)
    assert abs(found.item() - 0.6931) > 1e-3
