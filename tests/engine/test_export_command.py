"""`workbench export` and `workbench verify`: one JSON object, exit codes, two lines of error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from store.catalogue import Catalogue
from store.workspace import Workspace
from tests.engine.export_models import tiny_llama
from tests.engine.test_export_client import make_run
from workbench.commands.export import _failure, _leave, _named


def workbench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_export_then_verify(tmp_path: Path) -> None:
    base, out = tiny_llama(tmp_path / "base"), tmp_path / "model.gguf"
    place = ("--workspace", tmp_path / "ws")

    made = workbench(
        "export", base, "--to", "gguf", "--type", "f16", "--out", out, "--json", *place
    )

    assert made.returncode == 0, made.stderr
    [line] = made.stdout.splitlines()
    found = json.loads(line)
    assert found["file"] == str(out) and found["bytes"] == out.stat().st_size
    assert len(found["sha256"]) == 64
    assert found["proof"]["verdict"] == "pass"
    assert {"tokens", "template", "stops", "end"} <= {s["name"] for s in found["proof"]["stages"]}

    again = workbench("export", base, "--out", out, *place)
    assert again.returncode == 2 and "exists already" in again.stderr and "--force" in again.stderr

    with out.open("r+b") as handle:
        handle.seek(-1000, 2)
        handle.write(b"\x00" * 500)
    bad = workbench("verify", "1", "--json", *place)
    assert bad.returncode == 2
    proof = json.loads(bad.stdout.splitlines()[-1])
    assert proof["verdict"] == "fail"
    assert "file" in {s["name"] for s in proof["stages"] if s["verdict"] == "fail"}
    assert "not proved" in bad.stderr and "Traceback" not in bad.stderr
    [listed] = json.loads(workbench("exports", "--json", *place).stdout)["exports"]
    assert (listed["id"], listed["there"], listed["merge"]) == (1, True, "faithful")
    assert listed["proof"]["verdict"] == "fail" and listed["status"] == "proved"
    assert "proved, fail" in workbench("exports", *place).stdout


def test_bad_words_are_refused_by_name(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base", num_hidden_layers=1)
    for arguments, expected in (
        (("--to", "onnx"), "--to onnx: expected one of gguf, merged, adapter"),
        (("--type", "int4"), "--type int4: expected one of f32, f16, bf16, q8_0"),
    ):
        refused = workbench("export", base, *arguments, "--workspace", tmp_path / "ws")
        assert refused.returncode == 2
        assert expected in refused.stderr and "Traceback" not in refused.stderr
        assert refused.stdout == ""


def test_both_merges_have_names_of_their_own(tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    assert [_named(out, merge) for merge in ("faithful", "original")] == [
        out,
        tmp_path / "m-original.gguf",
    ]
    assert _named(tmp_path / "v1.5", "original") == tmp_path / "v1.5-original"
    assert _named(tmp_path, "original") == tmp_path
    assert _named(None, "original") is None
    words = ("--base", "both", "--out", out, "--workspace", tmp_path / "ws")
    for ref, to, said in (
        ("run:9", "merged", "run 9 does not exist"),
        ("starter", "gguf", "m.gguf: exists already"),
        ("starter", "adapter", "starter: has no adapter"),
    ):
        refused = workbench("export", ref, "--to", to, *words)
        assert refused.returncode == 2 and said in refused.stderr
        assert to != "merged" or not out.exists()
        out.touch()


def test_nothing_is_written_where_one_of_both_names_is_taken(tmp_path: Path) -> None:
    with Catalogue.open(Workspace(tmp_path / "ws")) as cat:
        run_id = make_run(cat, tiny_llama(tmp_path / "base", num_hidden_layers=1), nf4=True)
    (tmp_path / "m-original.gguf").touch()
    words = ("--base", "both", "--out", tmp_path / "m.gguf", "--workspace", tmp_path / "ws")
    refused = workbench("export", f"run:{run_id}", *words)
    assert refused.returncode == 2 and "m-original.gguf: exists already" in refused.stderr
    assert not (tmp_path / "m.gguf").exists()


def test_what_was_not_written_is_not_called_untrustworthy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit):
        _leave(_failure({"type": "q8_0", "proof": None, "error": "the disk is full."}))
    said = capsys.readouterr().err
    assert "q8_0: not written: the disk is full." in said and "The other types stand." in said
    assert "trust" not in said
