"""A suite on the real starter, an adapter and a GGUF: counted apart, recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

import assets
from engine.chat.client import ChatSession
from engine.checks import suite
from engine.checks.run import run
from store import checks as records
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from tests.engine.chat_fixtures import add_run, make_adapter

SUITE = """
name = "small"
max_tokens = 12
[[group]]
name = "says something"
prompts = ["Why is the sky blue?", "Name a colour.", {prompt = "Hi", system = "Be brief."}]
[[group.check]]
kind = "regex"
value = "."
[[group]]
name = "never"
prompts = ["What is 2 plus 3?"]
[[group.check]]
kind = "contains"
value = "no model says this"
[[group]]
name = "hangs"
prompts = ["What is 2 plus 3?"]
[[group.check]]
kind = "regex"
value = '^(((.|\\w|\\W)+)+)+\\Z(?!)'
[[group]]
name = "too long"
prompts = ["LONG"]
[[group.check]]
kind = "stops"
"""


def test_outcomes_are_counted_apart_and_kept(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SUITE.replace("LONG", "word " * 2000))
    adapter = make_adapter(assets.path("starter"), tmp_path / "a", scale=0.3)
    ref = add_run(cat, "starter", {4: adapter})
    heard: list[tuple[int, int]] = []
    read = suite.load(str(path))
    results = run(cat, read, ["starter", ref], lambda *at: heard.append(at))
    assert heard[-1] == (10, 10)  # One prompt is in two groups and asked once.
    assert [(r.model, r.ref) for r in results] == [("starter", "starter"), (ref, f"{ref}@4")]
    base = results[0]
    says, never, hangs, long = base.groups
    assert (says.passed, says.failed, says.errors) == (3, 0, 0)
    assert (never.passed, never.failed, never.rate) == (0, 1, 0.0)
    assert (hangs.errors, hangs.rate, hangs.low) == (1, None, None)
    assert (long.errors, long.rate) == (1, None)
    assert (base.passed, base.failed, base.errors, base.rate) == (3, 1, 2, 0.75)
    by_group = {item.group: item for item in base.items}
    assert by_group["never"].failed == ("contains 'no model says this'",)
    assert "took too long" in by_group["hangs"].failed[0]
    assert "tokens" in by_group["too long"].failed[0]
    kept = records.all(cat, suite="small")
    assert [(k.model, k.passed, k.errors) for k in kept] == [(f"{ref}@4", 3, 2), ("starter", 3, 2)]
    assert kept[0].suite_sha256 == read.sha256
    assert len(kept[0].items) == 6

    # What was answered is not asked again, and a model that is not needed is not loaded.
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    path.write_text(path.read_text().replace("word " * 2000, "Name a colour."))
    with monkeypatch.context() as patch:
        patch.setattr(ChatSession, "open", refuse)
        again = run(cat, suite.load(str(path)), ["starter", ref])
    assert [item.answer for item in again[0].items[:4]] == [i.answer for i in base.items[:4]]
    other = make_adapter(assets.path("starter"), tmp_path / "b", scale=0.4)
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="was loaded"):
        patch.setattr(ChatSession, "open", refuse)
        run(cat, suite.load(str(path)), [add_run(cat, "starter", {4: other})])


def test_a_model_that_answers_nothing_is_an_error(cat: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    head, _, tail = SUITE.partition('[[group]]\nname = "says')
    path.write_text(head + '[[group]]\nname = "too long' + tail.rpartition('name = "too long')[2])
    text = path.read_text().replace("LONG", "word " * 2000)
    path.write_text(text)
    with pytest.raises(WorkbenchError, match="starter: the conversation has"):
        run(cat, suite.load(str(path)), ["starter"])
    assert records.all(cat) == []
