"""What leaves this machine with an export: the model, and nothing about who made it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from engine.export.records import without
from store.catalogue import Catalogue
from store.workspace import Workspace
from tests.engine.export_models import STARTER, edit_json, tiny_llama
from tests.engine.test_export_client import make_run

SCRIPT = """
import sys
from pathlib import Path
from engine.export import client
from store.catalogue import Catalogue
from store.workspace import Workspace

if __name__ == "__main__":
    root = Path(sys.argv[1])
    with Catalogue.open(Workspace(root / "hidden-ws")) as cat:
        for to in ("ollama", "merged", "adapter", "adapter-gguf"):
            out = root / "out" / (f"{to}.gguf" if to == "adapter-gguf" else to)
            [made] = client.export(cat, "run:1", to=to, out=out)
            assert made.status == "proved", (to, client.proof_of(cat, made))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of export of one run, made by somebody with a name, a home and secrets."""
    root = tmp_path_factory.mktemp("zzprivate")
    base = tiny_llama(root / "base-model", num_hidden_layers=1)
    edit_json(base / "tokenizer_config.json", name_or_path=str(base))
    edit_json(base / "config.json", _name_or_path=str(base))
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n\nA base.\n")
    with Catalogue.open(Workspace(root / "hidden-ws")) as cat:
        make_run(cat, base, nf4=True)
    (root / "out").mkdir()
    (root / "zzhome").mkdir()
    environment = {
        **os.environ,
        "HOME": str(root / "zzhome"),
        "USER": "zzperson",
        "LOGNAME": "zzperson",
        "HF_TOKEN": "hf_zzsecret",
        "PYTHONPATH": str(STARTER.parent.parent),
    }
    command = [sys.executable, "-c", SCRIPT, str(root)]
    subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
    return root


def files(made: Path) -> list[Path]:
    return [path for path in (made / "out").rglob("*") if path.is_file()]


def test_nothing_of_the_user_is_in_any_file(made: Path) -> None:
    host = socket.gethostname()
    words = [str(made), "zzprivate", "zzhome", "zzperson", "zzsecret", "hidden-ws", "/somewhere"]
    for file in files(made):
        content = file.read_bytes()
        found = [word for word in words if word.encode() in content]
        if len(host) > 3 and file.suffix not in (".gguf", ".safetensors", ".json"):
            found += [host] if host.encode() in content else []
        assert not found, file


def test_a_home_at_the_root_takes_no_slashes_away() -> None:
    """As that of a user whom a container does not know."""
    said = {"text": "1/2 of /ws/runs, asked by google/gemma"}
    expected = {"text": "1/2 of workspace/runs, asked by google/gemma"}
    assert without(said, {"/": "~", "/ws": "workspace"}) == expected


def test_no_pickles_and_only_known_files(made: Path) -> None:
    names = {path.name for path in files(made)}
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".py"))]
    with safe_open(made / "out/adapter/adapter_model.safetensors", framework="pt") as weights:
        assert weights.metadata() in (None, {"format": "pt"})
    config = json.loads((made / "out/adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "base-model"
    assert "name_or_path" not in json.loads((made / "out/merged/tokenizer_config.json").read_text())


def test_the_record_beside_an_export_is_whole(made: Path) -> None:
    for path in (made / "out/ollama/workbench.json", made / "out/adapter-gguf.gguf.workbench.json"):
        record = json.loads(path.read_text())
        hashes = ("sha256", "base_sha256", "adapter_sha256", "template_sha256")
        assert all(len(record[key]) == 64 for key in hashes)
        assert record["quantization"] == "nf4" and record["merge"] == "faithful"
        training = record["training"]
        assert training["data"]["name"] == "poodle.jsonl" and training["data"]["snapshot"] == "abc"
        assert training["settings"]["load_in_4bit"] is True and training["seed"] == 1
        assert {"torch", "gguf", "llama-cpp-python", "peft", "workbench-llm"} <= record.keys()
        assert record["proof"]["verdict"] in ("pass", "warn")
        figures = {stage["name"]: stage["figures"] for stage in record["proof"]["stages"]}
        assert figures["end"]["kl_mean"] < 1e-3


def test_the_card_is_good_enough_for_a_hub(made: Path) -> None:
    for kind in ("adapter", "merged"):
        card = (made / "out" / kind / "README.md").read_text()
        front = card.split("---\n")[1]
        for line in ('base_model: "base-model"', 'license: "apache-2.0"', "- workbench"):
            assert line in front
        assert "pipeline_tag: text-generation" in front
        assert "| data | poodle.jsonl |" in card and "NF4 (4 bit)" in card
