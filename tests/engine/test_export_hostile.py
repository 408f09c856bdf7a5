"""Files that mean harm, through the proof: llama.cpp may die of them, and the proof says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.export.gguf.convert import write_gguf
from engine.export.merge import Merged
from engine.export.proof import questions
from engine.export.proof.yardstick import Yardstick
from engine.export.stages import Job, Stage, Target
from tests.engine.export_models import source_of, tiny_llama
from tests.engine.hostile_gguf import absurd, bombs, cut, field, lying, rewritten

Bench = tuple[Yardstick, Job, Path]
Made = Iterator[tuple[str, Path]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One yardstick for all, and a good F32 file to spoil."""
    folder = tmp_path_factory.mktemp("hostile")
    source = source_of(tiny_llama(folder / "base"))
    write_gguf(
        Merged(source),
        folder / "base",
        "f32",
        folder / "good.gguf",
        notes={},
        on_progress=lambda *_: None,
    )
    target = Target("", str(folder / "bad.gguf"))
    job = Job("verify", "gguf", [target], source, str(folder / "llama.log"))
    with Yardstick(job) as yardstick:
        yield yardstick, job, folder / "good.gguf"


def proved(bench: Bench) -> dict[str, Stage]:
    yardstick, job, _ = bench
    stages = questions.prove(job, job.targets[0], yardstick, lambda _: None)
    for stage in stages:
        assert stage.text.isprintable() and 0 < len(stage.text) < 700, stage.text
    return {stage.name: stage for stage in stages}


@pytest.mark.parametrize("make", [cut, lying, absurd])
def test_what_cannot_be_read_fails_to_load(
    make: Callable[[Path, Path], Made], bench: Bench
) -> None:
    good = bench[2]
    for words, _ in make(good, good.with_name("bad.gguf")):
        stages = proved(bench)
        assert list(stages) == ["load"] and stages["load"].state == "fail", words


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.long)])
def test_templates_that_mean_harm(long: bool, bench: Bench) -> None:
    """Each fails its own stage; the weights are asked all the same."""
    good = bench[2]
    for words, _ in bombs(good, good.with_name("bad.gguf"), long=long):
        stages = proved(bench)
        failed = {name for name, stage in stages.items() if stage.state == "fail"}
        assert failed == {"template"}, (words, stages)
        assert stages["end"].state == "pass", words


def test_tokens_with_escape_codes(bench: Bench) -> None:
    good = bench[2]
    tokens = list(field(good, "tokenizer.ggml.tokens"))
    tokens[400:420] = [f"\x1b]0;{i}\x07\x1b[2J\u202e" for i in range(20)]
    changes = {"tokenizer.ggml.tokens": tokens, "general.name": "\x1b[2J"}
    rewritten(good, good.with_name("bad.gguf"), changes)
    stages = proved(bench)
    assert stages["tokens"].state == "fail" and stages["end"].state == "pass"


def test_an_end_that_no_file_has(bench: Bench) -> None:
    good = bench[2]
    rewritten(good, good.with_name("bad.gguf"), {"tokenizer.ggml.eos_token_id": 2**31})
    assert proved(bench)["stops"].state == "fail"


def test_a_context_that_the_model_does_not_have(bench: Bench) -> None:
    good = bench[2]
    for said, state, words in ((1 << 20, "warn", "1,048,576 tokens: beyond 512"),
                               (1 << 31, "fail", "no number of tokens")):  # fmt: skip
        rewritten(good, good.with_name("bad.gguf"), {"llama.context_length": said})
        load = proved(bench)["load"]
        assert load.state == state and words in load.text, load
