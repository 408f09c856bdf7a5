"""Several types in one job, files in parts, and the two ways to merge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from engine.export import client
from engine.export import plan as planning
from engine.export.files import new_room, present
from engine.export.stages import Stage
from store import exports
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace
from tests.engine.export_models import tiny_llama
from tests.engine.test_export_client import make_run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("several") / "base")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_one_type_fails_and_the_others_are_made_in_parts(cat: Catalogue, tmp_path: Path) -> None:
    """A weight beyond F16: that type is refused, the quantiser reads BF16 instead."""
    base = tiny_llama(tmp_path / "base", num_hidden_layers=1)
    weights = load_file(base / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e5
    weights["model.layers.0.mlp.down_proj.weight"][:, 0] = 0
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    told: list[Stage] = []

    made = client.export(
        cat,
        str(base),
        types=["f16", "bf16", "q4_0"],
        out=tmp_path / "out",
        shard=200_000,
        on_event=told.append,
    )

    f16, bf16, q4_0 = made
    assert [record.type for record in made] == ["f16", "bf16", "q4_0"]
    assert f16.status == "failed" and "which F16 cannot" in f16.provenance["error"]
    assert bf16.status == "proved" and present(Path(bf16.path))
    assert Path(bf16.path).name == "base-bf16-00001-of-00003.gguf"
    assert q4_0.status in ("proved", "unproved") and present(Path(q4_0.path))
    of_q4_0 = {s.name: s for s in told if s.of == "q4_0" and s.state != "running"}
    assert {"quantise", "split", "load", "tokens", "quant", "end"} <= of_q4_0.keys()
    shared = [s for s in told if s.name == "write" and not s.of and s.state == "pass"]
    assert len(shared) == 1 and "which F16 cannot" in shared[0].text
    assert not [name for name in names(tmp_path / "out") if name.startswith(".")]

    again = client.export(cat, str(base), types=["f16", "q4_0"], out=tmp_path / "whole")
    assert [record.status for record in again] == ["failed", q4_0.status]
    assert not [name for name in names(tmp_path / "whole") if name.startswith(".")]

    # The parts are one export: counted, proved again, refused by a later part, deleted together.
    parts = sorted((tmp_path / "out").glob("base-bf16-*.gguf"))
    assert bf16.bytes == sum(part.stat().st_size for part in parts)
    with pytest.raises(Conflict, match="is part 2 of 3"):
        client.verify(cat, parts[1], str(base))
    proof = client.verify(cat, parts[0], str(base))
    assert proof.verdict != "fail" and proof.export_id == bf16.id
    assert {s["name"]: s["state"] for s in proof.stages}["file"] == "pass"
    with pytest.raises(Conflict, match="exists already"):
        client.export(cat, str(base), types=["bf16"], out=tmp_path / "out" / "base-bf16.gguf")
    client.delete(cat, bf16.id)
    assert not [name for name in names(tmp_path / "out") if "bf16" in name]
    parts = sorted((tmp_path / "out").glob("base-q4_0*.gguf"))
    parts[1].unlink()
    assert not present(parts[0])


def test_a_merged_folder_in_parts(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    [made] = client.export(
        cat, str(base), to="merged", types=["f32"], out=tmp_path / "m", shard=300_000
    )

    assert made.status == "proved"
    index = json.loads((tmp_path / "m" / "model.safetensors.index.json").read_text())
    files = sorted(set(index["weight_map"].values()))
    assert len(files) > 2 and files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    found, expected = (AutoModelForCausalLM.from_pretrained(f) for f in (tmp_path / "m", base))
    for (name, a), (other, b) in zip(
        found.state_dict().items(), expected.state_dict().items(), strict=True
    ):
        assert name == other and torch.equal(a, b)


def test_original_weights_are_another_model_and_it_is_said(
    cat: Catalogue, base: Path, tmp_path: Path
) -> None:
    run = f"run:{make_run(cat, base, nf4=True)}"
    for merge in ("faithful", "original"):
        [made] = client.export(cat, run, types=["f32"], out=tmp_path / f"{merge}.gguf", merge=merge)
        stages = {s["name"]: s for s in client.proof_of(cat, made).stages}  # type: ignore[union-attr]
        assert made.provenance["merge"] == merge
        # What was written is what the file says; only the model as chatted is another one.
        assert stages["convert"]["numbers"]["kl_mean"] < 1e-6
        assert (stages["end"]["numbers"]["kl_mean"] > 1e-5) == (merge == "original")
    plain = planning.make(cat, str(base), to="gguf", types=["f16"], out=None, merge="original")
    assert plain.merge == "faithful"


def test_words_about_several_types(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no type is named"):
        client.export(cat, str(base), types=[], out=tmp_path / "a.gguf")
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="is a file; 2 types need a folder"):
        client.export(cat, str(base), types=["f16", "f32"], out=tmp_path / "file")
    with pytest.raises(BadInput, match="f64"):
        client.export(cat, str(base), types=["f16", "f64"], out=tmp_path / "out")
    assert exports.all(cat) == [] and not (tmp_path / "out").exists()


def test_what_a_killed_export_left_is_cleared(cat: Catalogue, base: Path, tmp_path: Path) -> None:
    """Both processes are killed at once: the next listing takes away what they could not."""
    file = tmp_path / "m.gguf"
    gone = {"pid": 2**22 + 1, "started": 1.0}
    record = exports.create(cat, ref="x", kind="gguf", type="f16", path=str(file), provenance=gone)
    for name in (".m.gguf.partial", ".m.gguf.partial.16"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".m.gguf.partial.16.room").mkdir()
    (tmp_path / ".m.gguf.partial.parts").mkdir()
    (tmp_path / ".m.gguf.partial.parts" / "m-00001-of-00002.gguf").write_bytes(b"half")

    [found] = client.listed(cat)

    assert (found.id, found.status) == (record.id, "failed")
    assert "its process ended" in found.provenance["error"]
    assert names(tmp_path) == {"ws"}


def test_a_listing_while_an_export_ends(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last word came after the listing read, and its process was gone when it looked."""
    gone = {"pid": 2**22 + 1, "started": 1.0}
    path = str(tmp_path / "m.gguf")
    record = exports.create(cat, ref="x", kind="gguf", type="f16", path=path, provenance=gone)

    def ended(_pid: int, _started: float) -> bool:
        exports.update(cat, record.id, status="proved", provenance={"kind": "gguf"})
        return False

    monkeypatch.setattr(client, "alive", ended)
    [found] = client.listed(cat)
    assert found.status == "proved" and found.provenance == {"kind": "gguf"}


def test_a_catalogue_from_elsewhere_names_no_folder_to_delete(
    cat: Catalogue, tmp_path: Path
) -> None:
    mine, room = tmp_path / "workbench-mine", new_room()
    mine.mkdir()
    for folder in (mine, room):
        gone = {"pid": 2**22 + 1, "started": 1.0, "room": str(folder)}
        path = str(tmp_path / f"{folder.name}.gguf")
        exports.create(cat, ref="x", kind="gguf", type="f16", path=path, provenance=gone)

    assert {record.status for record in client.listed(cat)} == {"failed"}
    assert mine.is_dir() and not room.exists()


def test_an_export_that_cannot_begin_is_not_said_to_run(
    cat: Catalogue, base: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").symlink_to("nowhere")
    with pytest.raises(NoSpace, match="out: File exists"):
        client.export(cat, str(base), types=["f16", "f32"], out=tmp_path / "out")
    assert {record.status for record in exports.all(cat)} == {"failed"}
