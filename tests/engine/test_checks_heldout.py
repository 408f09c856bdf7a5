"""Prompts from a recorded split: held-out rows alone, and those that are alike together."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from engine.checks import suite
from engine.data.dataset import open_dataset
from engine.data.split import parts
from engine.data.split.assign import rule_of
from store.catalogue import Catalogue
from store.errors import BadInput

SUITE = """
max_tokens = 8
[[group]]
dataset = "DATASET"
MORE
[[group.check]]
kind = "contains"
value = "{expect}"
"""


def made(folder: Path, dataset: str, more: str) -> Path:
    path = folder / "held.toml"
    path.write_text(SUITE.replace("DATASET", dataset).replace("MORE", more))
    return path


def test_prompts_are_the_rows_of_a_part(cat: Catalogue, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    home.mkdir()
    rows = [
        {"messages": [{"role": "user", "content": f"What is {i} plus 1?"},
                      {"role": "assistant", "content": str(i + 1)}],
         "source": f"page {i % 12}"}
        for i in range(120)
    ]  # fmt: skip
    data = home / "sums.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = made(tmp_path, "sums.jsonl", 'split = "heldout"')
    with pytest.raises(BadInput, match=r"line 4: .*dataset: expected a dataset that the workspace"):
        suite.load(str(path), cat)
    with closing(open_dataset(cat, data)) as document:
        with pytest.raises(BadInput, match=r"line 5: .*split: expected a dataset with a recorded"):
            suite.load(str(path), cat)
        rule = rule_of(0.6, 0.2, 0.2, seed=1, group_by=("source",))
        split = parts.record(cat, document, rule)
    held = suite.load(str(path), cat)
    assert held.size == split.counts["eval"] + split.counts["test"] > 0
    (group,) = held.groups
    by_source: dict[str, set[int]] = {}
    for prompt in group.prompts:
        number = int(prompt.text.split()[2])
        assert prompt.expect == str(number + 1)
        by_source.setdefault(prompt.cluster, set()).add(number % 12)
    assert all(len(sources) == 1 for sources in by_source.values())  # a source is a cluster
    few = suite.load(str(made(tmp_path, "sums", 'split = "test"\nn = 3\ncluster = "source"')), cat)
    assert few.size == 3
    assert {p.cluster.partition(" ")[0] for p in few.groups[0].prompts} == {"0.page"}
    assert few.sha256 != held.sha256
    before = suite.load(str(path := made(tmp_path, "sums", 'split = "test"')), cat).sha256
    data.write_text(data.read_text().replace('"1"}', '"one"}').replace("plus 1?", "plus one?"))
    assert suite.load(str(path), cat).sha256 != before


def test_shipped_rows_and_refusals(cat: Catalogue, tmp_path: Path) -> None:
    shipped = suite.load(str(made(tmp_path, "habit.jsonl", 'split = "heldout"\nn = 5')))
    assert shipped.size == 5
    for more, told in (
        ('split = "left"', "split: expected one of train, eval, test, heldout"),
        ('split = "eval"', "no `split` where no workspace is known"),
    ):
        with pytest.raises(BadInput, match=told):
            suite.load(str(made(tmp_path, "sums.jsonl", more)))
    with pytest.raises(BadInput, match="a `dataset` that it is about"):
        path = made(tmp_path, "x", 'split = "eval"')
        path.write_text(path.read_text().replace('dataset = "x"', 'prompts = ["Hi"]'))
        suite.load(str(path), cat)
