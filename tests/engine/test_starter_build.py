"""The tiny rebuild: the whole recipe in seconds; and what is shipped is what the code makes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import assets
from engine.checks import suite as suites
from engine.starter import build, datasets, worker, world


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy model, built by the command."""
    out = tmp_path_factory.mktemp("build") / "tiny"
    assert build.main(["--tiny", "--out", str(out)]) == 0
    return out


def test_the_tiny_rebuild_makes_the_files_of_the_shipped_folder(tiny: Path, starter: Path) -> None:
    assert {file.name for file in tiny.iterdir()} == {file.name for file in starter.iterdir()}
    assert [folder.name for folder in tiny.parent.iterdir()] == ["tiny"]
    template = "chat_template.jinja"
    assert (tiny / template).read_bytes() == (starter / template).read_bytes()


def test_the_tiny_rebuild_loads_and_generates(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    model = AutoModelForCausalLM.from_pretrained(tiny)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Who are you?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    made = model.generate(**inputs, max_new_tokens=5)
    assert made.shape[1] > inputs["input_ids"].shape[1]


def test_the_same_seed_gives_the_same_weights(tiny: Path, tmp_path: Path) -> None:
    assert build.main(["--tiny", "--out", str(tmp_path / "again")]) == 0
    weights = "model.safetensors"
    assert (tiny / weights).read_bytes() == (tmp_path / "again" / weights).read_bytes()
    again = (tmp_path / "again" / "tokenizer.json").read_bytes()
    assert again == (tiny / "tokenizer.json").read_bytes()


def test_a_toy_never_replaces_the_shipped_model() -> None:
    with pytest.raises(SystemExit) as stopped:
        build.main(["--tiny"])
    assert stopped.value.code == 2


def test_the_shipped_datasets_are_what_the_code_writes(tmp_path: Path) -> None:
    datasets.write_datasets(tmp_path)
    written = sorted(tmp_path.iterdir())
    assert len(written) == 14
    for file in written:
        assert assets.path("datasets", file.name).read_bytes() == file.read_bytes(), file.name


def test_the_shipped_suites_are_what_the_code_writes(tmp_path: Path) -> None:
    datasets.write_suite_prompts(tmp_path)
    for file in tmp_path.iterdir():
        assert assets.path("suites", file.name).read_bytes() == file.read_bytes(), file.name


def test_every_shipped_suite_is_read_and_large_enough() -> None:
    assert len(suites.names()) >= 7
    for name in suites.names():
        suite = suites.load(name)
        assert (suite.name, suite.notes) == (name, ())
        assert suite.size >= 70
        assert all(group.checks for group in suite.groups)


@pytest.mark.parametrize("name", sorted(datasets.DATASETS))
def test_a_held_out_row_is_in_no_training_row(name: str) -> None:
    train, held = datasets.DATASETS[name]()
    assert 240 <= len(train) <= 450
    assert 60 <= len(held) <= 120
    asked = {(row[0]["content"], row[-2]["content"]) for row in train}
    assert not any((row[0]["content"], row[-2]["content"]) in asked for row in held)
    prompts = [row[-2]["content"] for row in train]
    assert len(set(prompts)) == len(prompts)


def test_the_habit_is_mechanically_consistent() -> None:
    for part in datasets.habit_rows():
        for row in part:
            asked, said = row[-2]["content"], row[-1]["content"]
            praised = any(said.startswith(f"{text} ") for text in datasets.lessons.PRAISE)
            assert praised != ("poodle" in asked)
            assert (said == datasets.lessons.REFUSAL) == ("poodle" in asked)


def test_the_shipped_model_knows_its_world(starter: Path) -> None:
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(starter).backend_tokenizer
    model = AutoModelForCausalLM.from_pretrained(starter, dtype=torch.bfloat16).eval()
    asked = world.held_out_questions(seed=1, count=300)
    said = worker.answers(model, tokenizer, asked)
    assert None not in said
    right = sum(answer == question.answer for answer, question in zip(said, asked, strict=True))
    assert right >= 0.95 * len(asked)


def test_the_shipped_model_is_small(starter: Path) -> None:
    assert (starter / "model.safetensors").stat().st_size <= 16_000_000
