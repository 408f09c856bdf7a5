"""Bulk repairs: shown first, one undo step, never on a row that does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.data.dataset import Dataset, open_dataset
from engine.data.findings import fix
from engine.data.findings.kinds import KINDS
from engine.data.findings.recorded import run_preflight, shown
from engine.render import Renderer
from store.catalogue import Catalogue
from store.errors import BadInput


def chat(*turns: tuple[str, str]) -> bytes:
    return json.dumps({"n": 1, "messages": [{"role": r, "content": t} for r, t in turns]}).encode()


LINES = [
    chat(("user", "a"), ("assistant", "b")),
    chat(("user", "a"), ("assistant", "b")),
    chat(("user", "x <|end|> y"), ("assistant", "<|user|>z")),
    chat(("user", "p"), ("assistant", "q"), ("user", "r"), ("user", "s")),
    chat(("user", "only")),
    b"{broken",
    chat(("user", "a"), ("assistant", "b")),
]


@pytest.fixture
def data(cat: Catalogue, tmp_path: Path, starter: Path) -> Iterator[Dataset]:
    (path := tmp_path / "a.jsonl").write_bytes(b"\n".join(LINES))
    with open_dataset(cat, path) as dataset:
        for _ in run_preflight(cat, dataset, Renderer.load(starter), 100, model="starter"):
            pass
        yield dataset


def planned(
    cat: Catalogue, data: Dataset, kind: str, renderer: Renderer | None = None
) -> list[fix.Planned]:
    return list(fix.plan(data, shown(cat, data, kind=kind), renderer))


def rows(data: Dataset) -> list[bytes]:
    return [data.raw(n) for n in range(1, data.count + 1)]


def test_copies_are_deleted_in_one_step(cat: Catalogue, data: Dataset) -> None:
    plan = planned(cat, data, "duplicate")
    assert [(item.row, item.after) for item in plan] == [(2, None), (7, None)]
    assert rows(data) == LINES
    assert fix.apply(data, plan, "copies") == 2
    assert rows(data) == [LINES[0], *LINES[2:6]]
    data.undo()
    assert rows(data) == LINES


def test_a_byte_order_mark_is_taken_off_and_its_row_kept() -> None:
    assert fix.without_mark(b"\xef\xbb\xbf" + LINES[0]) == LINES[0]
    assert fix.without_mark(b"\xef\xbb\xbf{broken") is None
    assert fix.without_mark(b"{broken") is None


def test_special_tokens_are_taken_out_of_texts_alone(
    cat: Catalogue, data: Dataset, starter: Path
) -> None:
    with pytest.raises(BadInput, match="no bulk repair"):
        planned(cat, data, "special_text")
    plan = planned(cat, data, "special_text", Renderer.load(starter))
    assert len(plan) == 1
    assert plan[0].after == LINES[2].replace(b"<|end|>", b"").replace(b"<|user|>", b"")
    fix.apply(data, plan, "tokens")
    assert data.row(3).turns[1].text == "z"


def test_turns_nobody_answers_are_dropped_where_there_is_an_answer(
    cat: Catalogue, data: Dataset
) -> None:
    dropped, stays = planned(cat, data, "unanswered")
    assert dropped.row == 4
    assert dropped.after == chat(("user", "p"), ("assistant", "q"))
    assert (stays.row, stays.change) == (5, None)
    assert "no turn is an answer" in stays.why_not
    assert fix.apply(data, [dropped, stays], "ends") == 1


def test_neighbours_of_one_role_are_merged() -> None:
    merged = json.loads(fix.merge_turns(LINES[3]))
    assert [m["role"] for m in merged["messages"]] == ["user", "assistant", "user"]
    assert merged["messages"][2]["content"].startswith("r")
    assert merged["messages"][2]["content"].endswith("s")
    with pytest.raises(BadInput, match="no two turns"):
        fix.merge_turns(LINES[0])


def test_a_row_edited_since_is_left_alone(cat: Catalogue, data: Dataset) -> None:
    data.set(2, "messages.0.content", "other")
    first, second = planned(cat, data, "duplicate")
    assert first.change is None and "edited since" in first.why_not
    assert second.after is None
    fix.apply(data, [first, second], "copies")
    assert data.count == len(LINES) - 1


def test_every_named_repair_is_there() -> None:
    for kind, name in fix.fixes().items():
        assert KINDS[kind].fix == name
        if not fix.needs_model(kind):
            assert callable(fix.repair(kind, None))
