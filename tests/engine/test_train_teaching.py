"""A run stops before it starts where rows would teach nothing, unless they are to be left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import assets
from engine.data.dataset import open_dataset
from engine.data.split import parts
from engine.data.split.assign import rule_of
from engine.data.split.snapshot import take
from engine.render import Renderer
from engine.train import client
from engine.train.recipe import load, with_sets
from engine.train.teaching import refuse_what_teaches_nothing
from store import runs, snapshots
from store.catalogue import Catalogue
from store.errors import BadInput, NoSpace, NotFound
from tests.engine.train_fixtures import small_data, small_recipe, wait


def chat(*turns: str) -> bytes:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return json.dumps({"messages": messages}).encode()


GOOD = [chat(f"question {n}", f"answer {n}") for n in range(20)]


def look(cat: Catalogue, rows: list[bytes], *sets: str) -> None:
    file = cat.workspace.root / "a.jsonl"
    file.write_bytes(b"\n".join(rows) + b"\n")
    recipe = with_sets(load("default"), ["max_length=64", *sets])
    snapshot = take(cat, file, eval_fraction=0.1)
    refuse_what_teaches_nothing(file, snapshot, Renderer.load(assets.path("starter")), recipe)


def test_rows_that_teach_nothing_stop_a_run(cat: Catalogue) -> None:
    long = chat("word " * 200, "answer")
    rows = [*GOOD, b"{broken", chat("no answer"), b"[1]", long, chat("none either")]
    with pytest.raises(BadInput) as refused:
        look(cat, rows)
    said = refused.value.message
    assert "5 of 25 rows would teach nothing" in said
    assert "3 masked to nothing" in said
    assert "2 cannot be read (line 21: not JSON" in said
    assert "line 22: nothing is trained" in said
    assert "leave_out=true" in refused.value.hint
    assert "line 21" in refused.value.hint
    look(cat, rows, "leave_out=true")


def test_held_out_rows_count_too(cat: Catalogue) -> None:
    rows = [*GOOD, *(chat(f"no answer {n}") for n in range(30))]
    with pytest.raises(BadInput, match=r"30 of 50 rows .*\(line 21.*line 22.*line 23.* and 27"):
        look(cat, rows)


def test_blank_lines_and_cut_rows_stop_nothing(cat: Catalogue) -> None:
    rows = [*GOOD, b"", chat("short", "answer " * 200), b"  "]
    look(cat, rows)
    with pytest.raises(BadInput, match="1 of 24 rows"):  # they were looked at
        look(cat, [*rows, chat("no answer")])


def test_where_nothing_is_trained_at_all_leaving_out_is_no_way_out(cat: Catalogue) -> None:
    for sets in ((), ("leave_out=true",)):
        with pytest.raises(BadInput, match="no token would be trained") as refused:
            look(cat, [chat(f"alone {n}") for n in range(4)], *sets)
        assert "leave_out" not in refused.value.hint


def test_a_refused_start_leaves_nothing_behind(cat: Catalogue, tmp_path: Path) -> None:
    file = small_data(tmp_path)
    with file.open("ab") as out:
        out.write(b"{broken\n")
    with pytest.raises(BadInput, match="1 of 41 rows would teach nothing"):
        client.start(cat, file, "starter", load("default"))
    # Nor is there room for checkpoints of 2.3 MB: eight, the best one, and one being written.
    small_data(tmp_path)
    free = (64 << 20) + 10 * 12 * 194_560
    disk = shutil.disk_usage(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.shutil, "disk_usage", lambda _: disk._replace(free=free - 1))
        with pytest.raises(NoSpace, match="this run needs about 86 MB"):
            client.start(cat, file, "starter", small_recipe())
    # Nor is an adapter a model.
    (tmp_path / "adapter").mkdir()
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (tmp_path / "adapter" / name).write_bytes(b"{}")
    with pytest.raises(NotFound, match="an adapter, and no model"):
        client.start(cat, file, str(tmp_path / "adapter"), small_recipe())
    assert runs.all(cat) == []
    assert snapshots.all(cat) == []
    assert list(cat.workspace.snapshots.iterdir()) == []


def test_shipped_datasets_teach_with_every_row(cat: Catalogue) -> None:
    files = sorted(assets.path("datasets").glob("*.jsonl"))
    assert len(files) >= 7
    for path in files:
        renderer = Renderer.load(assets.path("starter"))
        name = {"brief": "preference", "marked": "kto", "island": "text"}.get(
            path.name.split(".")[0]
        )
        refuse_what_teaches_nothing(path, take(cat, path), renderer, load(name or "default"))


def test_a_run_that_leaves_rows_out_counts_them(cat: Catalogue, tmp_path: Path) -> None:
    file = small_data(tmp_path, rows=8)
    with file.open("ab") as out:
        out.write(b"{broken\n" + chat("no answer") + b"\n" + chat("q", "word " * 400) + b"\n")
    recipe = small_recipe("max_steps=3", "leave_out=true", "max_length=128", "test_size=0.5")
    with open_dataset(cat, file) as data:
        parts.record(cat, data, rule_of(0.8, 0, 0.2, seed=1))
    run = client.start(cat, file, "starter", recipe)
    wait(cat, run.id, lambda found: found.status == "finished")
    with client.reader(cat, run.id) as reader:
        events = {event.text for event in reader.events() if event.kind in ("row", "rows", "split")}
    assert any(text.startswith("the recorded split was followed") for text in events)
    assert "2 rows left out, 1 cut at max_length" in events
    assert sum(text.startswith(("line 9:", "line 10:", "line 11:")) for text in events) == 3
