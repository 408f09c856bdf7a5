"""Which of several proved types to take, and why."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from engine.export import advice, client
from engine.export.types import TYPES
from engine.models.folder import weight_files
from store import exports
from store.catalogue import Catalogue
from store.errors import NotFound

MB = 1_000_000


def _export(
    cat: Catalogue, type: str, size: int, kl: float, verdict: exports.Verdict = "pass",
    *, loss: float = 2.0, merge: str = "faithful", share: float = 0.0,
    ref: str = "run:1@4", kind: exports.Kind = "gguf",
) -> None:  # fmt: skip
    made = exports.create(cat, ref=ref, kind=kind, type=type, path=f"/x/{type}.gguf")
    status = "unproved" if verdict == "fail" else "proved"
    provenance = {"merge": merge}
    exports.update(cat, made.id, bytes=size * MB, status=status, provenance=provenance)
    numbers = {
        "kl_mean": kl, "top1": 0.97, "loss_trained": 2.0, "loss_export": loss,
        "loss_error": 0.001, "share_lost": share,
    }  # fmt: skip
    stages = [{"name": "end", "state": verdict, "text": "", "numbers": numbers}]
    exports.add_proof(
        cat, file=made.path, sha256="0", against="run:1@4", verdict=verdict, stages=stages,
        export_id=made.id,
    )  # fmt: skip


def test_the_smallest_that_cannot_be_told_apart_is_taken(cat: Catalogue) -> None:
    assert advice.measured(cat, "run:1@4") == []
    assert advice.recommend([]).row is None
    _export(cat, "q8_0", 850, 3e-4, loss=2.0005)
    _export(cat, "q6_k", 660, 2e-3, loss=1.999, share=0.01)
    _export(cat, "q4_k_m", 490, 0.03, loss=2.01, share=0.04)
    _export(cat, "q2_k", 320, 0.5, "warn", loss=2.4, share=0.6)
    rows = advice.measured(cat, "run:1@4", beside=100 * MB)
    assert [row.type for row in rows] == ["q8_0", "q6_k", "q4_k_m", "q2_k"]
    assert [row.alike for row in rows] == [True, True, False, False]

    found = advice.recommend(rows)
    assert found.row is rows[1]
    assert "loss -0.0010 ± 0.0010" in found.sentence
    assert found.sentence.endswith("Nor can q8_0: their order says nothing.")
    found = advice.recommend(rows, 600 * MB)
    assert found.row is rows[2]
    assert "q6_k cannot be told from the trained model, in 660.0 MB." in found.sentence
    found = advice.recommend(rows, 420 * MB)
    assert found.row is rows[3]
    assert "loses least, and not little" in found.sentence
    found = advice.recommend(rows, 419 * MB)
    assert found.row is None
    assert "q2_k takes 420.0 MB to run" in found.sentence


def test_compared_and_copied_in_a_shell(cat: Catalogue, tmp_path: Path) -> None:
    _export(cat, "q8_0", 850, 3e-4, ref="starter")
    _export(cat, "q4_k_m", 490, 0.5, "warn", ref="starter", loss=2.4)
    file = tmp_path / "it's.gguf"
    file.touch()
    exports.update(cat, 1, path=str(file))

    def said(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "workbench", "exports", *words]
        place = ["--workspace", str(cat.workspace.root)]
        return subprocess.run([*command, *place], capture_output=True, text=True, check=False)

    _export(cat, "iq2_m", 290, 0.9, "warn", ref="starter", loss=2.7)  # of other chats

    table = said("--compare", "starter")
    assert table.returncode == 0, table.stderr
    assert "★ q8_0" in table.stdout
    assert "2.4000" in table.stdout and "2.7000" not in table.stdout
    assert "q8_0 is the smallest that cannot be told from the trained model" in table.stdout
    found = json.loads(said("--compare", "starter", "--memory", "600MB", "--json").stdout)
    assert (found["best"], [row["type"] for row in found["types"]]) == (
        "q4_k_m",
        ["q8_0", "q4_k_m", "iq2_m"],
    )
    command = [sys.executable, "-m", "workbench", "sizes", "starter", "--memory", "1KB"]
    place = ["--workspace", str(cat.workspace.root)]
    told = subprocess.run([*command, *place], capture_output=True, text=True, check=True).stdout
    assert "runs in 1.0 kB" in told and "holds 1,024 tokens at once, not 4,096" in told
    lines = json.loads(said("--lines", "1", "--json").stdout)["lines"]
    assert shlex.split(lines[0]["text"])[2] == str(file)
    for words, error in (
        (("--lines", "9"), "export 9 does not exist"),
        (("--lines", "2"), "/x/q4_k_m.gguf: is gone"),
        (("--lines", "1", "--compare", "starter"), "--lines and --compare: one at a time"),
        (("--memory", "1GB"), "--memory: goes with --compare"),
    ):
        refused = said(*words)
        assert refused.returncode == 2
        assert error in refused.stderr


def test_an_export_for_ollama_is_known_by_its_file(cat: Catalogue, tmp_path: Path) -> None:
    _export(cat, "q8_0", 850, 3e-4, kind="ollama")
    folder, file = tmp_path / "moved", tmp_path / "moved" / "model.gguf"
    folder.mkdir()
    for name in ("Modelfile", "model.gguf"):
        (folder / name).touch()
    assert client.meant(cat, str(file)) == (file, None)
    (folder / "workbench.json").write_text('{"sha256": "ab"}')
    exports.update(cat, 1, sha256="ab")
    assert client.meant(cat, str(file)) == (folder, "run:1@4")
    with pytest.raises(NotFound) as refused:
        weight_files(folder)
    assert str(file) in refused.value.hint


def test_what_failed_is_never_taken(cat: Catalogue) -> None:
    _export(cat, "q8_0", 850, 0.9, "fail")
    assert advice.recommend(advice.measured(cat, "run:1@4")).row is None
    _export(cat, "q8_0", 850, 1e-4)  # The newest one counts.
    assert advice.recommend(advice.measured(cat, "run:1@4")).row is not None


def test_a_folder_hides_no_file_of_its_type(cat: Catalogue) -> None:
    _export(cat, "f16", 1600, 1e-7)
    _export(cat, "f16", 1600, 2e-7, kind="merged")
    assert [row.kl for row in advice.measured(cat, "run:1@4")] == [1e-7]


def test_faithful_against_original(cat: Catalogue) -> None:
    _export(cat, "q8_0", 850, 3e-4)
    assert advice.which_merge(advice.measured(cat, "run:1@4")) == ""
    _export(cat, "q8_0", 850, 2e-2, merge="original", loss=1.99)
    said = advice.which_merge(advice.measured(cat, "run:1@4"))
    assert said.startswith("q8_0 on the weights of the training is nearer")


def test_what_to_expect(cat: Catalogue) -> None:
    """Published figures, those between them, and both scaled by what this model measured."""
    usual = [advice.expected(type) for type in TYPES["gguf"].values()]
    assert all(kl > 0 for kl in usual[3:])
    assert usual[4] < advice.expected(TYPES["gguf"]["q5_k_s"]) < 0.0313
    assert advice.expected(TYPES["gguf"]["iq2_xxs"]) == max(usual)
    _export(cat, "q4_k_m", 490, 0.0626)
    rows = advice.measured(cat, "run:1@4")
    assert advice.expected(TYPES["gguf"]["q6_k"], rows) == pytest.approx(0.011)
    assert advice.quality(0.0) == "nothing to notice"
    assert advice.quality(9.0) == "much"
