"""`data split` and `data trainers`, from the outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.data.background.client import Done, Report, Scan
from engine.data.split.dividing import Divide, Trainers
from engine.data.trainers import record
from store import findings
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound, WorkbenchError
from store.workspace import Workspace
from workbench.commands.data import app


class Data:
    """Runs commands on one file in one workspace."""

    def __init__(self, folder: Path, rows: list[bytes]) -> None:
        self.file, self.workspace = folder / "a.jsonl", folder / "workspace"
        self.file.write_bytes(b"\n".join(rows) + b"\n")

    def __call__(self, command: str, *options: str) -> dict[str, Any]:
        return dict(json.loads(self.text(command, *options, "--json")))

    def text(self, command: str, *options: str) -> str:
        words = [command, str(self.file), *options, "--workspace", str(self.workspace)]
        result = CliRunner().invoke(app, words)
        if isinstance(result.exception, WorkbenchError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout


def chat(*turns: str, **more: object) -> bytes:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    return json.dumps({"messages": messages, **more}).encode()


@pytest.fixture
def data(tmp_path: Path) -> Data:
    rows = [chat(f"q{n}", f"a{n}", source=f"s{n % 20}") for n in range(200)]
    return Data(tmp_path, [*rows, b"{broken"])


def test_a_split_is_recorded_shown_changed_and_forgotten(data: Data, tmp_path: Path) -> None:
    assert data("split") == {"path": str(data.file), "recorded": False}
    assert "no split is recorded" in data.text("split")
    with pytest.raises(NotFound):
        data("split", "--out", str(tmp_path / "out"))
    first = data("split", "--train", "0.7", "--eval", "0.2", "--test", "0.1", "--seed", "9")
    assert (first["train"], first["eval"], first["test"], first["seed"]) == (0.7, 0.2, 0.1, 9)
    assert first["counts"]["rows"] == 201
    assert first["counts"]["none"] == 1
    assert sum(first["shares"].values()) == pytest.approx(1)
    assert first["who"]
    assert data("split") == first
    grouped = data("split", "--group-by", "source")
    assert (grouped["seed"], grouped["eval"], grouped["group_by"]) == (9, 0.2, ["source"])
    assert data("split", "--group-by", "")["group_by"] == []
    out = tmp_path / "out"
    written = data("split", "--out", str(out))["files"]
    assert sum(part["rows"] for part in written.values()) == 200
    with pytest.raises(Conflict):
        data("split", "--out", str(out))
    assert "asked for" in data.text("split", "--out", str(out), "--force")
    with pytest.raises(BadInput, match="no row has `nothing`"):
        data("split", "--group-by", "nothing")
    with data.file.open("ab") as more:
        more.write(chat("new", "row") + b"\n")
    assert "there are 202 now" in data.text("split")
    assert data("split", "--forget")["forgotten"] is True
    assert data("split")["recorded"] is False


def test_trainers_are_asked_and_what_they_say_is_kept(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MOST", 50)
    found = data("trainers", "--trainer", "trl")
    assert [one["trainer"] for one in found["trainers"]] == ["trl"]
    assert found["trainers"][0]["counts"] == {"keep": 200, "altered": 0, "drop": 0, "error": 1}
    with Catalogue.open(Workspace(data.workspace)) as cat:
        assert findings.sets(cat, 1) == []
    every = {one["trainer"]: one for one in data("trainers")["trainers"]}
    assert every["together"]["counts"]["error"] == 201
    assert every["together"]["reasons"][0]["rule"] == "extra_column"
    with Catalogue.open(Workspace(data.workspace)) as cat:
        [kept] = findings.sets(cat, 1)
        assert kept.source == "trainers"
        # 50 of the 200, one word about the others, and the broken row.
        assert kept.counts["together"] == 52
        assert kept.counts["trl"] == 1
        last = findings.page(cat, 1, kind="together", limit=100)[-2]
        assert "and 150 more rows" in last.detail
    one = data("trainers", "--row", "201")["verdicts"]
    assert {verdict["outcome"] for verdict in one.values()} == {"error"}
    assert "stops before training" in data.text("trainers")
    with pytest.raises(BadInput, match="not known"):
        data("trainers", "--trainer", "keras")


def test_both_can_be_asked_in_a_process_of_their_own(data: Data) -> None:
    workspace = Workspace(data.workspace)
    with Catalogue.open(workspace):
        pass
    asked = {"trainers": Trainers(), "split": Divide(eval=0.25, group_by=("source",))}
    for kind, request in asked.items():
        scan = Scan.start(workspace, data.file, request)
        events = []
        while scan.running:
            scan.wait(60)
            events += scan.poll()
        assert isinstance(events[-1], Done), events
        body = next(e.body for e in events if isinstance(e, Report) and e.kind == kind)
        if kind == "split":
            assert body["rule"]["eval"] == 0.25
            assert body["counts"]["none"] == 1
    assert data("split")["group_by"] == ["source"]
