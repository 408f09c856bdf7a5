"""`data preview`, `preflight`, `findings` and `fix`, from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from store.errors import BadInput
from tests.engine.test_data_commands import Data
from tests.engine.test_data_preflight import LINES
from workbench.commands.data import app


@pytest.fixture
def data(tmp_path: Path) -> Data:
    made = Data(tmp_path)
    made.file.write_bytes(b"\n".join(line for line, _ in LINES))
    return made


def text(data: Data, command: str, *options: str) -> str:
    return data.run([command, str(data.file), *options, "--workspace", str(data.workspace)])


def test_preview_says_where_it_is_cut(data: Data) -> None:
    whole = data("preview", "--row", "1", "--model", "starter")
    assert whole["cut_at"] is None and whole["turn_end_trained"] and whole["bos"] == 1
    assert [s["role"] for s in whole["spans"]] == ["user", "assistant"]
    assert [s["trained"] for s in whole["spans"]] == [False, True]
    cut = data("preview", "--row", "1", "--model", "starter", "--max-length", "9")
    assert cut["cut_at"] == 9 == len(cut["ids"]) == len(whole["ids"]) - cut["cut"]


def test_the_mask_can_be_read_without_colour(data: Data) -> None:
    shown = text(data, "preview", "--row", "1")
    assert "<|assistant|>\n⟦An animal.<|end|>⟧\n" in shown
    by_id = text(data, "preview", "--row", "1", "--ids").splitlines()
    whole = data("preview", "--row", "1")
    assert [line.startswith("▌") for line in by_id[: len(whole["ids"])]] == [
        bool(m) for m in whole["mask"]
    ]
    assert [int(line[1:].split()[0]) for line in by_id[: len(whole["ids"])]] == whole["ids"]


def test_preflight_lists_every_finding_and_keeps_them(data: Data) -> None:
    report = data("preflight", "--model", "starter", "--max-length", "100")
    listed = {(f["line"], f["kind"]) for f in report["findings"]}
    assert listed == {(n, kind) for n, (_, kinds) in enumerate(LINES, 1) for kind in kinds}
    assert report["findings_total"] == len(listed) == sum(report["counts"].values())
    assert all(f["detail"] for f in report["findings"])
    assert (report["rows"], report["max_length"]) == (len(LINES), 100)
    assert report["steps"] == report["epoch_steps"] > 0
    packed = data("preflight", "--max-length", "100", "--packing", "--limit", "2")
    assert packed["steps"] == packed["packed_steps"] > 0 and len(packed["findings"]) == 2
    kept = data("findings")
    assert {(f["line"], f["kind"]) for f in kept["findings"]} == listed
    assert kept["counts"] == report["counts"]
    copies = data("findings", "--kind", "duplicate")["findings"]
    assert [f["line"] for f in copies] == [5, 19] and copies[0]["group"] == copies[1]["group"]
    assert len(data("findings", "--group", copies[0]["group"])["findings"]) == 2


def test_preflight_is_words_for_people(data: Data) -> None:
    assert "not looked at yet" in text(data, "findings")
    words = text(data, "preflight", "--max-length", "100")
    assert "19: 3 fine" in words and "line 2: not JSON" in words and "assistant" in words[:800]
    assert "special_text" in text(data, "findings")
    data.file.write_bytes(LINES[0][0] + b"\n")
    assert "nothing odd was found" in text(data, "preflight")


def test_strict_fails_where_a_row_would_be_left_out(data: Data) -> None:
    words = ["preflight", str(data.file), "--strict", "--workspace", str(data.workspace), "--json"]
    failed = CliRunner().invoke(app, words)
    assert failed.exit_code == 1 and json.loads(failed.stdout)["dropped"] > 0
    data.file.write_bytes(LINES[0][0] + b"\n")
    assert CliRunner().invoke(app, words).exit_code == 0


def test_fix_shows_first_and_is_undone_at_once(data: Data) -> None:
    data("preflight", "--max-length", "100")
    plan = data("fix", "--kind", "duplicate")
    assert (plan["applied"], plan["rows"], plan["unsaved"]) == (False, 2, 0)
    assert [change["row"] for change in plan["changes"]] == [5, 19]
    assert all(change["after"] is None for change in plan["changes"])
    assert "would change: 2" in text(data, "fix", "--kind", "duplicate")
    done = data("fix", "--kind", "duplicate", "--apply")
    assert (done["applied"], done["rows"], done["unsaved"]) == (True, 2, 2)
    assert data("findings", "--kind", "duplicate")["findings"] == []
    data("undo")
    assert data("info")["unsaved"] == 0
    one = data("fix", "--kind", "special_text", "--row", "7")
    assert "<|end|>" not in one["changes"][0]["after"]
    with pytest.raises(BadInput, match="not a kind of finding"):
        data("fix", "--kind", "nonsense")
    with pytest.raises(BadInput, match="no bulk repair"):
        data("fix", "--kind", "tools_lost")
