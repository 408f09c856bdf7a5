"""Exports through the real worker process: names, records, proofs, what a fault leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import gguf
import psutil
import pytest

from engine.export import client
from engine.export.stages import Stage
from engine.models.folder import file_sha256, weights_sha256
from engine.render.renderer import Renderer
from engine.train import checkpoints
from store import exports, runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace, NotFound, Unsupported, WorkerDied
from store.workspace import Workspace
from tests.engine.export_models import (
    STARTER,
    edit_json,
    prove,
    random_adapter,
    source_of,
    tiny_llama,
)


@pytest.fixture
def cat(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue.open(Workspace(tmp_path / "ws")) as opened:
        yield opened


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("client") / "base")


@pytest.fixture(scope="module")
def exported(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proved F32 file of the tiny model, with its sidecars."""
    folder = tmp_path_factory.mktemp("exported")
    with Catalogue.open(Workspace(folder / "ws")) as cat:
        [record] = client.export(cat, str(base), to="gguf", types=["f32"], out=folder / "m.gguf")
    assert record.status == "proved"
    return folder / "m.gguf"


def copied(exported: Path, folder: Path, *, sidecars: bool = False) -> Path:
    for file in exported.parent.glob("m.gguf*" if sidecars else "m.gguf"):
        shutil.copyfile(file, folder / file.name)
    return folder / "m.gguf"


def make_run(cat: Catalogue, base: Path, *, nf4: bool) -> int:
    """A finished run with one checkpoint and a held-out part."""
    recipe = {"load_in_4bit": nf4, "bnb_4bit_use_double_quant": True, "dtype": "float32", "r": 4}
    snapshot = cat.workspace.snapshots / "abc"
    snapshot.mkdir(parents=True)
    rows = [
        {"messages": [{"role": r, "content": t} for r, t in (("user", q), ("assistant", a))]}
        for q, a in (("How are you?", "Well."), ("Name a colour.", "Blue is a colour."))
    ]
    (snapshot / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = runs.create(
        cat,
        model=str(base),
        dataset="/somewhere/private/poodle.jsonl",
        recipe=recipe,
        seed=1,
        name="habit",
        status="finished",
        base_sha256=weights_sha256(base),
        template_sha256=Renderer.load(base).template_sha256,
    )
    cat.db.execute("PRAGMA foreign_keys=OFF")
    cat.db.execute("UPDATE runs SET snapshot = 'abc' WHERE id = ?", [run.id])
    adapter = random_adapter(base, cat.workspace.root / "adapter")
    files = [(file.name, file.read_bytes()) for file in sorted(adapter.iterdir())]
    checkpoints.write(cat.workspace.run_dir(run.id), 4, files, {})
    return run.id


def test_run_to_gguf_with_proof_and_records(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    run_id = make_run(cat, base, nf4=True)
    told: list[Stage] = []

    [record] = client.export(
        cat, f"run:{run_id}@4", types=["f16"], out=tmp_path / "a.gguf", on_event=told.append
    )

    assert record.status == "proved" and record.path == str(tmp_path / "a.gguf")
    assert record.sha256 == file_sha256(tmp_path / "a.gguf")
    assert record.bytes == (tmp_path / "a.gguf").stat().st_size
    assert (record.run_id, record.step, record.ref) == (run_id, 4, f"run:{run_id}@4")
    proof = client.proof_of(cat, record)
    assert proof is not None and proof.verdict == "pass"
    stages = {stage["name"]: stage for stage in proof.stages}
    asked = ["load", "tokens", "template", "stops", "convert", "end", "greedy"]
    assert list(stages) == ["base", "merge", "write", *asked]
    assert stages["base"]["text"] == "as recorded by the run"
    assert stages["template"]["numbers"]["conversations"] == 2
    numbers = stages["end"]["numbers"]
    assert numbers["kl_mean"] < 1e-4 < numbers["kl_base"] and numbers["share_lost"] < 0.01
    assert numbers["loss_trained"] == pytest.approx(numbers["loss_export"], abs=0.01)
    assert any(stage.name == "write" and stage.state == "running" for stage in told)
    saved = json.loads((tmp_path / "a.gguf.proof.json").read_text())
    assert [stage["name"] for stage in saved["stages"]] == list(stages)
    assert saved["sha256"] == record.sha256
    provenance = json.loads((tmp_path / "a.gguf.workbench.json").read_text())
    assert provenance["quantization"] == "nf4" and provenance["base_sha256"] == weights_sha256(base)
    fields = gguf.GGUFReader(tmp_path / "a.gguf").fields
    assert fields["workbench.adapter_sha256"].contents() == provenance["adapter_sha256"]
    assert not list(tmp_path.glob("*partial*")) and not list(tmp_path.glob(".*partial*"))


def test_a_type_that_llama_cpp_quantises(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    [record] = client.export(cat, str(base), types=["Q4_K_M"], out=tmp_path / "a.gguf")

    proof = client.proof_of(cat, record)
    assert proof is not None
    stages = {stage["name"]: stage for stage in proof.stages}
    assert list(stages)[:4] == ["base", "write", "quantise", "load"]
    assert stages["load"]["text"].endswith("limits of q4_k_m")
    # Rows of 64 and 96 do not divide by 256: llama.cpp takes larger types for them, and it is said.
    assert stages["quantise"]["numbers"]["fallbacks"] > 0
    fields = gguf.GGUFReader(record.path).fields
    assert fields["general.file_type"].contents() == 15
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".16")]


def test_a_type_that_needs_to_know_what_matters(cat: Catalogue, tmp_path: Path) -> None:
    [record] = client.export(cat, "starter", types=["iq2_xxs"], out=tmp_path / "a.gguf")

    proof = client.proof_of(cat, record)
    assert proof is not None
    stages = {stage["name"]: stage for stage in proof.stages}
    assert "proved on the others" in stages["quantise"]["text"]
    assert stages["quantise"]["numbers"]["fallbacks"] == 0
    assert gguf.GGUFReader(record.path).fields["general.file_type"].contents() == 19
    # Without knowing it llama.cpp refuses; here it was told, and the answers are still the model's.
    assert stages["end"]["numbers"]["top1"] > 0.5


def test_merged_and_adapter_folders(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    run_id = make_run(cat, base, nf4=False)

    [merged] = client.export(cat, f"run:{run_id}", to="merged", types=["f16"], out=tmp_path / "m")
    [adapter] = client.export(cat, f"run:{run_id}", to="adapter", out=tmp_path / "a")

    assert (merged.status, adapter.status) == ("proved", "proved")
    assert sorted(file.name for file in (tmp_path / "m").iterdir()) == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "workbench.json",
    ]
    card = (tmp_path / "a" / "README.md").read_text()
    assert "poodle.jsonl" in card and "/somewhere" not in card
    (tmp_path / "m" / "tokenizer.json").write_bytes(
        (tmp_path / "m" / "tokenizer.json").read_bytes() + b"\n"
    )
    proof = client.verify(cat, tmp_path / "m", f"run:{run_id}")
    assert proof.verdict == "fail" and proof.stages[1]["name"] == "file"
    shutil.rmtree(tmp_path / "ws" / "runs" / str(run_id))
    with pytest.raises(NotFound, match="no checkpoint"):
        client.export(cat, f"run:{run_id}")


def test_changed_base_is_refused(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(base, mine)
    run_id = make_run(cat, mine, nf4=False)
    template = (mine / "chat_template.jinja").read_text()
    (mine / "chat_template.jinja").write_text(template + " ")
    with pytest.raises(Conflict, match="chat template changed"):
        client.export(cat, f"run:{run_id}", out=tmp_path / "a.gguf")
    assert exports.all(cat)[0].status == "failed"
    assert not list(tmp_path.glob("*.gguf*"))


def test_foreign_file_against_its_folder(
    cat: Catalogue, base: Path, exported: Path, tmp_path: Path
) -> None:
    proof = client.verify(cat, copied(exported, tmp_path), str(base))
    assert proof.verdict == "pass"
    assert "limits of f32" in next(s["text"] for s in proof.stages if s["name"] == "load")


def test_flipped_bytes_fail(cat: Catalogue, base: Path, exported: Path, tmp_path: Path) -> None:
    file = copied(exported, tmp_path, sidecars=True)
    tensor = next(t for t in gguf.GGUFReader(file).tensors if t.name == "blk.1.ffn_up.weight")
    with file.open("r+b") as handle:
        handle.seek(int(tensor.data_offset) + 4000)
        handle.write(b"\x00" * 4000)
    failed = {s["name"] for s in _failed(client.verify(cat, file, str(base)))}
    assert failed == {"file", "convert", "end"}


@pytest.mark.parametrize(
    ("key", "value", "stage"),
    [
        ("tokenizer.ggml.eos_token_id", 300, "stops"),
        ("tokenizer.chat_template", "{{ messages[0]['content'] }}", "template"),
    ],
)
def test_wrong_metadata_fails(
    key: str, value: int | str, stage: str, base: Path, exported: Path, tmp_path: Path
) -> None:
    rewrite(exported, tmp_path / "m.gguf", key, value)
    stages = prove(source_of(base), tmp_path / "m.gguf", "f32")
    assert stages[stage].state == "fail"
    assert stages["end"].state == "pass"


def rewrite(source: Path, target: Path, key: str, value: int | str) -> None:
    """A copy of a GGUF file with one key changed."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value if name == key else field.contents(), kind, item)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _failed(proof: exports.Proof) -> list[dict[str, object]]:
    return [stage for stage in proof.stages if stage["state"] == "fail"]


def test_hostile_file_fails_to_load(cat: Catalogue, tmp_path: Path) -> None:
    """And is not asked a suite, which could only say the same again."""
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + b"\xff" * 64)
    proof = client.verify(cat, tmp_path / "m.gguf", "starter")
    assert [stage["name"] for stage in _failed(proof)] == ["load"]


def test_failed_proof_never_gets_the_final_name(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    """More stop tokens than llama.cpp has places for."""
    mine = tmp_path / "mine"
    shutil.copytree(base, mine)
    edit_json(mine / "tokenizer_config.json", bos_token="<|end|>", eos_token="<|bos|>")
    edit_json(mine / "config.json", eos_token_id=[1, 2, 3, 4])
    (mine / "generation_config.json").unlink()

    [record] = client.export(cat, str(mine), out=tmp_path / "a.gguf")

    assert record.status == "unproved"
    assert record.path == str(tmp_path / "a.unproved.gguf")
    proof = client.proof_of(cat, record)
    assert proof is not None and "stops" in {stage["name"] for stage in _failed(proof)}
    assert not (tmp_path / "a.gguf").exists()
    assert (tmp_path / "a.unproved.gguf.proof.json").exists()

    [second] = client.export(cat, str(base), out=tmp_path / "a.gguf")

    assert second.status == "proved" and exports.all(cat) == [second]
    assert {path.name for path in tmp_path.glob("a.*")} == {
        "a.gguf",
        "a.gguf.proof.json",
        "a.gguf.workbench.json",
    }


def test_killed_worker_leaves_nothing(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    def kill(stage: Stage) -> None:
        if stage.name == "end":
            for child in psutil.Process().children():
                child.kill()

    with pytest.raises(WorkerDied, match=r"SIGKILL.*export-1\.log"):
        client.export(cat, str(base), out=tmp_path / "a.gguf", on_event=kill)
    assert exports.all(cat)[0].status == "failed"
    assert [file.name for file in tmp_path.iterdir()] == ["ws"]


def test_cancel_leaves_nothing(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    cancel = threading.Event()
    with pytest.raises(Conflict, match="cancelled"):
        client.export(
            cat,
            str(base),
            out=tmp_path / "a.gguf",
            on_event=lambda _stage: cancel.set(),
            cancel=cancel,
        )
    assert [file.name for file in tmp_path.iterdir()] == ["ws"]
    assert exports.all(cat) == []


SCRIPT = """
import sys
from pathlib import Path
from engine.export import client
from store.catalogue import Catalogue
from store.workspace import Workspace

def tell(stage):
    print(stage.name, flush=True)

if __name__ == "__main__":
    root, base = Path(sys.argv[1]), sys.argv[2]
    with Catalogue.open(Workspace(root / "ws")) as cat:
        client.export(cat, base, out=root / "a.gguf", on_event=tell)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_end_of_the_client_leaves_nothing(how: signal.Signals, base: Path, tmp_path: Path) -> None:
    """Ctrl-C cleans up; and even a killed client takes its worker and the partial file along."""
    client_process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(base)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(STARTER.parent.parent)},
    )
    assert client_process.stdout is not None
    for line in client_process.stdout:
        if line.strip() == b"tokens":
            break
    workers = psutil.Process(client_process.pid).children()
    assert workers and any(tmp_path.glob(".a.gguf.partial"))
    client_process.send_signal(how)
    client_process.wait(60)
    gone, alive = psutil.wait_procs(workers, 60)
    assert gone and not alive
    assert [file.name for file in tmp_path.iterdir()] == ["ws"]
    client_process.stdout.close()
    with Catalogue.open(Workspace(tmp_path / "ws")) as cat:
        said = [export.status for export in client.listed(cat)]
    assert said == ([] if how == signal.SIGINT else ["failed"])


def test_refusals_before_anything_heavy(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.gguf"
    with pytest.raises(BadInput, match="--type f64"):
        client.export(cat, str(base), types=["f64"], out=out)
    with pytest.raises(BadInput, match=r"a\.bin"):
        client.export(cat, str(base), out=tmp_path / "a.bin")
    with pytest.raises(BadInput, match="no such folder"):
        client.export(cat, str(base), out=tmp_path / "none" / "a.gguf")
    with pytest.raises(Unsupported, match="no adapter"):
        client.export(cat, str(base), to="adapter", out=tmp_path / "a")
    with pytest.raises(BadInput, match="--type q8_0: an adapter is written in f32"):
        client.export(cat, str(base), to="adapter", types=["f32", "q8_0"], out=tmp_path / "a")
    with pytest.raises(BadInput, match="--shard: nothing is divided for --to ollama"):
        client.export(cat, str(base), to="ollama", shard=1 << 20, out=tmp_path / "a")
    out.write_bytes(b"mine")
    with pytest.raises(Conflict, match="exists already"):
        client.export(cat, str(base), out=out)
    assert out.read_bytes() == b"mine"
    with pytest.raises(Unsupported, match="end product"):
        client.export(cat, str(out), out=tmp_path / "b.gguf")
    (tmp_path / "folder").mkdir()
    with pytest.raises(Conflict, match="not an export"):
        client.export(cat, str(base), to="merged", out=tmp_path / "folder", force=True)
    with pytest.raises(NotFound, match="no export lies there"):
        client.verify(cat, tmp_path / "none.gguf", str(base))
    assert exports.all(cat) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architectures": ["Qwen9ForCausalLM"]}, "Qwen9ForCausalLM.*Llama"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"quantization_config": {"load_in_4bit": True}}, "quantization_config"),
    ],
)
def test_models_that_llama_cpp_would_compute_otherwise(
    change: dict[str, object], words: str, cat: Catalogue, base: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(base, mine)
    edit_json(mine / "config.json", **change)
    with pytest.raises(Unsupported, match=words):
        client.export(cat, str(mine), out=tmp_path / "a.gguf")


def test_a_full_disk_is_seen_before(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    """The weights are a sparse file that claims more than the disk has."""
    mine = tmp_path / "mine"
    shutil.copytree(base, mine)
    rows = shutil.disk_usage(tmp_path).total // 256
    entry = {"dtype": "F32", "shape": [rows, 64], "data_offsets": [0, rows * 256]}
    header = json.dumps({"model.embed_tokens.weight": entry}).encode()
    with (mine / "model.safetensors").open("wb") as handle:
        handle.write(len(header).to_bytes(8, "little") + header)
        handle.truncate(8 + len(header) + rows * 256)
    with pytest.raises(NoSpace, match="MB are free"):
        client.export(cat, str(mine), types=["f32"], out=tmp_path / "a.gguf")


def test_the_light_face_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "transformers", "peft", "gguf", "llama_cpp", "bitsandbytes")
    code = (
        "import sys, engine.export.client, workbench.commands.export\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
