"""The proof catches what it claims to: files broken on purpose, and the stage that says so."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import MambaConfig, MambaForCausalLM

from engine.export.gguf.convert import write_gguf
from engine.export.gguf.quantise import quantise
from engine.export.merge import Merged
from engine.export.proof import limits, questions, yardstick
from engine.export.proof.bases import compare_bases
from engine.export.proof.kept import Kept
from engine.export.proof.reference import Reference
from engine.export.proof.yardstick import Yardstick
from engine.export.stages import Job, Source, Stage, Target
from engine.export.types import TYPES
from store.errors import Unsupported
from tests.engine.export_models import edit_json, random_adapter, source_of, tiny_llama
from tests.engine.hostile_gguf import BOMBS, NO, field, rewritten


class Bench:
    """A trained model (NF4 and an adapter), its good F32 file, and one yardstick for all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        base = tiny_llama(folder / "base")
        adapter = random_adapter(base, folder / "adapter", strength=0.3)
        self.source = source_of(base, adapter, quantization="nf4", chats=str(chats(folder)))
        self.good = self.write(self.source, "good.gguf")
        self.bad = folder / "bad.gguf"
        self.yardstick = Yardstick(self.job(self.bad))

    def job(self, path: Path, kind: str = "gguf", type: str = "") -> Job:
        log = str(self.folder / "llama.log")
        return Job("verify", kind, [Target(type, str(path))], self.source, log)

    def write(self, source: Source, name: str, type: str = "f32") -> Path:
        path = self.folder / name
        write_gguf(
            Merged(source), Path(source.base), type, path, notes={}, on_progress=lambda *_: None
        )
        return path

    def prove(self, path: Path, sixteen: Path | None = None) -> dict[str, Stage]:
        job = self.job(path)
        stages = questions.prove(job, job.targets[0], self.yardstick, lambda _: None, sixteen)
        return {stage.name: stage for stage in stages}


def chats(folder: Path) -> Path:
    """A few held-out conversations."""
    told = [("How are you?", "Well, thank you."), ("Name a colour.", "Blue is a colour I like.")]
    rows = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in told * 3
    ]
    path = folder / "eval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("proof"))
    with made.yardstick:
        yield made


def failed(stages: dict[str, Stage]) -> set[str]:
    return {name for name, stage in stages.items() if stage.state == "fail"}


def test_the_good_file_passes_every_stage(bench: Bench) -> None:
    stages = bench.prove(bench.good)
    names = ["load", "tokens", "template", "stops", "convert", "end", "greedy"]
    assert list(stages) == names and {s.state for s in stages.values()} == {"pass"}
    assert {stage.of for stage in stages.values()} == {""}
    end = stages["end"].numbers
    assert end["kl_mean"] < 1e-6 and end["top1"] == 1 and end["share_lost"] < 1e-4
    assert end["kl_base"] > 0.1  # the adapter is worth something, so that its loss would be seen
    assert {"kl_median", "kl_p99", "kl_max", "loss_trained", "loss_export"} <= end.keys()
    greedy = stages["greedy"].numbers
    assert greedy["same"] == greedy["prompts"] == 4 and greedy["first_4"] == 0
    assert greedy["ended_trained"] == greedy["ended_export"]


def permuted(data: Any, heads: int) -> Any:
    """The rows of a query or key in the order of llama.cpp."""
    split = data.reshape(heads, 2, data.shape[0] // heads // 2, *data.shape[1:])
    return split.swapaxes(1, 2).reshape(data.shape)


@pytest.mark.parametrize("broken", ["rope", "rows", "zeroed"])
def test_wrong_weights_fail_conversion_and_end(broken: str, bench: Bench) -> None:
    """A wrong rope base, q and k in another order, a tensor of zeros."""

    def tensors(name: str, data: Any) -> Any:
        if broken == "rows" and name.endswith(("attn_q.weight", "attn_k.weight")):
            return permuted(data, 4 if "attn_q" in name else 2)
        if broken == "zeroed" and name == "blk.1.attn_v.weight":
            return np.zeros_like(data)
        return data

    changes = {"llama.rope.freq_base": 500_000.0} if broken == "rope" else {}
    stages = bench.prove(rewritten(bench.good, bench.bad, changes, tensors))
    assert failed(stages) == {"convert", "end"}
    assert "export it again" in stages["convert"].text.lower()


@pytest.mark.parametrize(
    ("kl", "top1", "state"),
    [
        (1e-5, 1.0, "pass"),
        (2e-4, 1.0, "warn"),
        (1e-5, 0.985, "warn"),
        (2e-3, 1.0, "fail"),
        (1e-5, 0.97, "fail"),
        (math.nan, 1.0, "fail"),
    ],
)
def test_limits(kl: float, top1: float, state: str) -> None:
    f16 = TYPES["gguf"]["f16"]
    assert limits.judge({"kl_mean": kl, "top1": top1}, f16.limits) == state
    assert limits.end(f16, "faithful") == f16.limits
    assert limits.end(f16, "original").kl_fail > 0.1


def test_the_base_without_its_adapter(bench: Bench) -> None:
    bare = bench.write(msgspec.structs.replace(bench.source, adapter=None), "bare.gguf")
    stages = bench.prove(bare)
    assert failed(stages) == {"convert", "end"}
    assert "as the base does without the adapter" in stages["end"].text
    assert stages["end"].numbers["share_lost"] == pytest.approx(1, abs=1e-3)


def test_the_adapter_on_the_bases_own_weights(bench: Bench) -> None:
    """What other programs merge: told from a mistake, measured, and provable as what it is."""
    original = bench.write(msgspec.structs.replace(bench.source, quantization=None), "own.gguf")
    stages = bench.prove(original)
    assert stages["convert"].text.startswith("the adapter on the base's own weights: ")
    assert stages["convert"].state == "pass" and stages["end"].state != "pass"

    mine = msgspec.structs.replace(bench.job(original, type="f32"), expected_sha256="ours")
    ours = questions.prove(mine, mine.targets[0], bench.yardstick, lambda _: None)
    assert [s.name for s in ours if s.state == "fail"] == ["convert", "end"]
    assert "it is the adapter on the base's own weights" in ours[-2].text

    job = msgspec.structs.replace(bench.job(original, type="f32"), merge="original")
    with Yardstick(job) as own:
        told: list[Stage] = []
        choice = compare_bases(own, told.append)
        found = {s.name: s for s in questions.prove(job, job.targets[0], own, told.append)}
    assert choice is not None and choice.state == "pass" and choice.name == "merge"
    assert choice.numbers["loss_faithful"] == pytest.approx(stages["end"].numbers["loss_trained"])
    assert choice.numbers["kl_mean"] == pytest.approx(found["end"].numbers["kl_mean"], rel=1e-3)
    assert "take faithful" in choice.text or "take it only if you check it again" in choice.text
    assert found["convert"].state == "pass" and found["convert"].numbers["kl_mean"] < 1e-6
    assert found["end"].numbers["kl_mean"] > 1e-3


def test_a_swapped_token(bench: Bench) -> None:
    tokens = list(field(bench.good, "tokenizer.ggml.tokens"))
    a, b = (tokens.index(word) for word in ("e", "a"))
    tokens[a], tokens[b] = tokens[b], tokens[a]
    path = rewritten(bench.good, bench.bad, {"tokenizer.ggml.tokens": tokens})
    assert failed(bench.prove(path)) == {"tokens"}


def test_no_end_token_and_another_template(bench: Bench) -> None:
    template = field(bench.good, "tokenizer.chat_template").replace("\n", " ", 1)
    changes = {
        "tokenizer.ggml.eos_token_id": 300,
        "tokenizer.ggml.eot_token_id": NO,
        "tokenizer.chat_template": template + "!",
    }
    stages = bench.prove(rewritten(bench.good, bench.bad, changes))
    assert failed(stages) == {"template", "stops"}
    assert "chat_template" in stages["template"].text
    assert "eos_token_id" in stages["stops"].text


def test_a_model_trained_on_plain_text_brings_its_template_too(bench: Bench) -> None:
    """No held-out row is a conversation: the shipped ones are rendered, and never "0 the same"."""
    rows = bench.folder / "text.jsonl"
    rows.write_text(json.dumps({"text": "Once upon a time there was a fox."}) + "\n")
    source = source_of(bench.folder / "base", chats=str(rows))
    job = msgspec.structs.replace(bench.job(bench.good), source=source)
    whole = bench.write(source, "text.gguf")
    broken = rewritten(
        whole, bench.bad, {"tokenizer.chat_template": "{{ messages[0]['content'] }}"}
    )
    for path, state in ((whole, "pass"), (broken, "fail")):
        with Yardstick(job) as own:
            stages = questions.prove(job, Target("", str(path)), own, lambda _: None)
        [template] = [stage for stage in stages if stage.name == "template"]
        assert template.state == state and template.numbers["conversations"] > 5


def test_a_token_that_only_a_foreign_file_has(bench: Bench) -> None:
    job = bench.job(bench.good)
    proof = questions._Proof(job, job.targets[0], bench.yardstick, lambda _: None, None)
    [first, *_] = bench.yardstick.greedy(lambda *_: None)
    fork = proof._fork(0, first.answer, [1 << 20])
    assert fork is not None and (fork.token, fork.gap) == (1, math.inf)


def test_the_16_bit_file_and_the_quantised_one_are_told_apart(bench: Bench) -> None:
    """Blame goes where it belongs: a wrong F16 file is quantised well, a wrong type is not."""
    sixteen = bench.write(bench.source, "sixteen.gguf", "f16")

    def zeroed(name: str, data: Any) -> Any:
        return np.zeros_like(data) if name == "blk.1.attn_v.weight" else data

    spoilt = rewritten(sixteen, bench.folder / "spoilt.gguf", {}, zeroed)
    file = bench.folder / "small.gguf"
    quantise(
        spoilt,
        file,
        TYPES["gguf"]["q6_k"].file_type,
        threads=1,
        importance={},
        on_progress=lambda *_: None,
    )
    with Yardstick(bench.job(file)) as fresh:
        job = bench.job(file, type="q6_k")
        stages = {s.name: s for s in questions.prove(job, job.targets[0], fresh, print, spoilt)}
    assert failed(stages) == {"convert", "end"} and stages["quant"].state != "fail"
    assert stages["convert"].text.startswith("the F16 file")


def test_folders_are_asked_like_files(bench: Bench, tmp_path: Path) -> None:
    """An adapter with one matrix turned round."""
    folder = tmp_path / "adapter"
    shutil.copytree(bench.folder / "adapter", folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    name = next(name for name in tensors if "lora_B" in name)
    save_file({**tensors, name: -tensors[name]}, folder / "adapter_model.safetensors")
    job = bench.job(folder, "adapter", "f32")
    stages = questions.prove(job, job.targets[0], bench.yardstick, lambda _: None)
    assert [s.name for s in stages if s.state == "fail"] == ["end"]


def test_what_is_kept_is_asked_once(tmp_path: Path) -> None:
    asked: list[int] = []

    def logits(sample: int) -> Any:
        asked.append(sample)
        return np.full((3, 5), sample, np.float32)

    kept = Kept(logits, 9, tmp_path)
    assert [float(kept(i)[2, 4]) for i in (0, 2, 1, 2, 0)] == [0, 2, 1, 2, 0]
    assert asked == [0, 2, 1] and kept.holds([0, 1, 2]) and not kept.holds([3])
    assert os.listdir(tmp_path) == []  # nothing can be left behind
    kept.close()

    full = Kept(logits, 1 << 60, tmp_path)  # no disk has that much
    assert [float(full(7)[0, 0]) for _ in range(2)] == [7, 7] and asked[3:] == [7, 7]


def test_positions_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yardstick, "MAX_POSITIONS", 30)
    chosen = bench.yardstick.chosen(fitted=False)
    assert 30 <= sum(len(bench.yardstick.ids(i)) for i in chosen) < 90
    assert bench.yardstick.chosen(fitted=True)[:2] == [0, 2]


def test_a_broken_folder_fails_to_load(bench: Bench, tmp_path: Path) -> None:
    """Whatever a library says of it."""
    spoils = ("config.json", "tokenizer.json", "model.safetensors", "code", "another")
    for number, spoil in enumerate(spoils):
        folder = tmp_path / str(number)
        shutil.copytree(bench.folder / "base", folder)
        if spoil == "config.json":
            edit_json(folder / spoil, hidden_size=65)
        elif spoil == "another":  # transformers would make up the norms that it has not
            edit_json(
                folder / "config.json", model_type="qwen3", architectures=["Qwen3ForCausalLM"]
            )
        elif spoil == "code":  # it is neither run nor asked for
            (folder / "mine.py").write_text("raise SystemExit('run')")
            own = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}
            edit_json(folder / "config.json", model_type="mine", auto_map=own)
        else:
            (folder / spoil).write_bytes((folder / spoil).read_bytes()[:-100])
        job = bench.job(folder, "merged", "f32")
        stages = questions.prove(job, job.targets[0], bench.yardstick, lambda _: None)
        assert [(s.name, s.state) for s in stages] == [("load", "fail")], (spoil, stages)
        assert spoil != "another" or "layers.0.self_attn.k_norm.weight is not" in stages[0].text


def no_room(_: Yardstick) -> Reference:
    raise Unsupported("the trained model in 32 bit needs more memory.", "Free memory.")


def test_one_model_at_a_time_where_memory_is_short(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = bench.folder / "adapter"
    job = bench.job(adapter, "adapter", "f32")
    monkeypatch.setattr(yardstick, "needs", lambda _: 1e18)
    with Yardstick(job) as own:
        stages = questions.prove(job, job.targets[0], own, lambda _: None)
        assert {stage.state for stage in stages} == {"pass"}
        assert own._model is None  # it has said everything and left

        folder = tmp_path / "adapter"
        shutil.copytree(adapter, folder)
        tensors = load_file(folder / "adapter_model.safetensors")
        wrong = {name: -tensor for name, tensor in tensors.items() if "lora_B" in name}
        save_file({**tensors, **wrong}, folder / "adapter_model.safetensors")
        job = bench.job(folder, "adapter", "f32")
        monkeypatch.setattr(Yardstick, "model", property(no_room))
        stages = questions.prove(job, job.targets[0], own, lambda _: None)
        found = {stage.name: stage for stage in stages}
        assert found["greedy"].numbers["same"] < 4 and found["greedy"].numbers["gap"] > 0
        assert found["end"].state == "fail" and "top-1" in found["end"].text


def test_a_folder_with_a_template_that_means_harm(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "merged"
    shutil.copytree(bench.folder / "base", folder)
    (folder / "chat_template.jinja").write_text(BOMBS["doubled forty times"])
    job = bench.job(folder, "merged", "f32")
    stages = questions.prove(job, job.targets[0], bench.yardstick, lambda _: None)
    found = {stage.name: stage.state for stage in stages}
    assert found["template"] == "fail" and "greedy" not in found


def test_an_adapter_that_is_a_pickle(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(bench.folder / "adapter", folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    job = bench.job(folder, "adapter", "f32")
    stages = questions.prove(job, job.targets[0], bench.yardstick, lambda _: None)
    assert [(s.name, s.state) for s in stages] == [("load", "fail")]
    assert "no adapter_model.safetensors" in stages[0].text


def test_greedy_answers_of_a_model_without_keys_and_values(tmp_path: Path) -> None:
    config = MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=2, state_size=4)
    torch.manual_seed(3)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    model = Reference(source_of(tmp_path))
    ids = [1, 2, 3]
    for token in model.greedy([1, 2, 3], [], 5):
        assert token == int(model.logits(ids)[-1].argmax())
        ids.append(token)
    assert len(ids) == 8
