"""Records without a run: secrets, origins, adapters and curves held side by side, imports."""

from __future__ import annotations

import json
import math
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.diagnosis.reading import diagnosis
from engine.records import curves, importing, noise, origin, report, tensors, tracking
from engine.records.comparing import compare
from engine.records.secrets import HIDDEN, redacted, redacted_words
from engine.train import checkpoints, client
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict
from store.rundb import RunWriter
from store.runs import Run

SECRETS = (
    "hf_abcdefghijklmnopqrstuvwx",
    "sk-proj-abcdefghijklmnopqrst",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "AKIAIOSFODNN7EXAMPLE",
    "0123456789abcdef0123456789abcdef01234567",
)


def test_no_secret_is_written_down() -> None:
    words = ["workbench", "train", "--note", f"with {SECRETS[0]}", "--token", "plainword"]
    words += ["--set", "max_tokens=500", "--set", "api_key=letmein", f"https://me:{SECRETS[1]}@h/x"]
    kept = redacted_words([*words, *SECRETS])
    assert kept[:3] == ("workbench", "train", "--note")
    assert "max_tokens=500" in kept and f"api_key={HIDDEN}" in kept and "plainword" not in kept
    assert kept[-6] == f"https://{HIDDEN}@h/x"
    assert not any(secret in " ".join(kept) for secret in SECRETS)
    # The settings of a recipe that speak of tokens, and git's names, are no secrets.
    assert redacted("max_tokens=5 add_tokens=<tool>") == "max_tokens=5 add_tokens=<tool>"
    assert redacted(SECRETS[4], hashes=True) == SECRETS[4]


def test_an_origin_knows_git_and_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "a.jsonl"
    data.write_text("{}\n")
    assert origin.here(data=data).data[0].sha256 == (
        "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"
    )

    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    assert origin.commit_of(tmp_path) is None
    git("add", "a.jsonl")
    git("commit", "-qm", "one")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(origin, "_GIT_S", 60.0)  # git is not waited for, but this test does
    found = origin.here().git
    assert found is not None and (len(found.commit), found.dirty) == (40, False)
    data.write_text("{ }\n")
    changed = origin.commit_of(tmp_path)
    assert changed is not None and changed.dirty is True
    origin.write(tmp_path, origin.here(asked={"r": 8}, repeats=3))
    read = origin.read(tmp_path)
    assert read is not None and (read.asked, read.repeats) == ({"r": 8}, 3)


def adapter(path: Path, values: dict[str, Any], kind: str = "F32") -> Path:
    header, data = {}, b""
    for name, value in values.items():
        raw = np.asarray(value, "<f4")
        packed = (raw.view("<u4") >> 16).astype("<u2") if kind == "BF16" else raw
        blob = packed.tobytes()
        span = [len(data), len(data) + len(blob)]
        header[name] = {"dtype": kind, "shape": list(raw.shape), "data_offsets": span}
        data += blob
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_adapters_are_compared_to_the_bit(tmp_path: Path) -> None:
    one = adapter(tmp_path / "1", {"a": [[3.0, 4.0]], "b": [1.0]})
    assert tensors.difference(one, one) == tensors.Difference(True, 0.0, "", 0.0, ())
    two = adapter(tmp_path / "2", {"a": [[3.0, 4.5]], "b": [1.0]})
    found = tensors.difference(one, two)
    assert (found.equal, found.largest, found.tensor) == (False, 0.5, "a")
    assert found.relative == pytest.approx(0.5 / math.sqrt(26))
    other = adapter(tmp_path / "3", {"a": [3.0, 4.0], "b": [math.nan]})
    found = tensors.difference(one, other)
    assert found.only == ("a",) and math.isnan(found.largest) and found.tensor == "b"
    half = adapter(tmp_path / "4", {"a": [[3.0, 4.0]], "b": [1.0]}, "BF16")
    assert tensors.difference(half, half).equal and not tensors.difference(one, half).equal
    assert tensors.difference(one, half).largest == 0.0
    (tmp_path / "5").write_bytes(b"\xff" * 20)
    with pytest.raises(BadInput, match="no safetensors"):
        tensors.difference(one, tmp_path / "5")


def test_curves_are_compared_point_by_point() -> None:
    one = {1: 3.0, 2: 2.0, 3: None, 4: 1.0}
    assert curves.gap("loss", one, one).same
    found = curves.gap("loss", one, {1: 3.0, 2: 2.5, 3: None, 5: 1.0})
    assert (found.steps, found.equal, found.largest, found.at, found.only) == (3, 2, 0.5, 2, 2)
    assert curves.gap("loss", one, {9: 1.0}).mean is None
    assert curves.best("eval_loss", {5: 1.0, 2: 1.0, 3: None}) == (2, 1.0)
    assert curves.best("token_accuracy", {5: 1.0, 2: 2.0}) == (2, 2.0)
    flat = {step: 2.0 - 0.1 * step for step in range(10)}
    assert curves.wobble(flat) == pytest.approx(0.0, abs=1e-12)
    rng = np.random.default_rng(1)
    noisy = {step: 2.0 - 0.1 * step + x for step, x in enumerate(rng.normal(0, 0.3, 4000))}
    assert curves.wobble(noisy) == pytest.approx(0.3, rel=0.05)


def invented(cat: Catalogue, seed: int, **fields: Any) -> Run:
    """A finished run of which only the catalogue's row matters."""
    recipe = {"learning_rate": 1e-4, "seed": seed} | fields.pop("recipe", {})
    given = {"split": {"by": "recorded"}, "snapshot": None, "status": "finished"} | fields
    return runs.create(cat, model="m", dataset="d", recipe=recipe, seed=seed, **given)


def test_only_runs_that_differ_in_the_seed_tell_of_noise(cat: Catalogue) -> None:
    values = (1.0, 1.02, 0.98, 1.01, 0.99)
    same = [invented(cat, seed) for seed in range(5)]
    by_id = {run.id: value for run, value in zip(same, values, strict=True)}
    far = invented(cat, 0, recipe={"learning_rate": 1e-3})
    by_id[far.id] = 1.2
    every = runs.all(cat)
    found = noise.spread(every, (same[0], far), lambda run: by_id[run.id], lambda run: run.dataset)
    assert found is not None and found.freedom == 4
    assert found.deviation == pytest.approx(0.0158, abs=1e-3)
    assert noise.judge("loss", 1.0, 1.2, found, None).answer == "larger"
    assert noise.judge("loss", 1.0, 1.03, found, None).answer == "within"
    assert noise.judge("loss", 1.0, 1.0, found, None).answer == "same"
    assert noise.spread(every, (far,), lambda run: by_id[run.id], lambda run: run.dataset) is None
    cannot = noise.judge("loss", 1.0, 1.2, None, 0.01)
    assert cannot.answer == "unknown" and "cannot know" in cannot.text
    assert noise.judge("loss", 1.0, 1.005, None, 0.01).answer == "within"
    # Coverage: with noise alone, a difference is called real once in twenty.
    rng, wrong = np.random.default_rng(7), 0
    for _ in range(400):
        x = rng.normal(0, 1, 6)
        alike = noise.Spread(float(np.std(x[:4], ddof=1)), 3, ((1, 2, 3, 4),))
        wrong += noise.judge("loss", x[4], x[5], alike, None).answer == "larger"
    assert wrong / 400 < 0.09


def history(steps: int = 20) -> list[dict[str, Any]]:
    logs: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        loss = 3 * math.exp(-step / 8)
        logs.append({"step": step, "epoch": step / 10, "loss": loss, "learning_rate": 2e-4,
                     "mean_token_accuracy": 0.5, "grad_norm": "0.5"})  # fmt: skip
        if step % 5 == 0:
            logs.append({"step": step, "eval_loss": loss + 0.1, "eval_runtime": 3.0})
    return [*logs, {"step": steps, "train_loss": 1.0, "train_runtime": 9.0, "total_flos": 1e9}]


def state_file(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    state = {"log_history": history(), "global_step": 20, "max_steps": 40, "num_train_epochs": 3}
    path = folder / "trainer_state.json"
    path.write_text(json.dumps(state | changes))
    return path


def test_a_trainers_state_becomes_a_run(cat: Catalogue, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "checkpoint-20"
    state_file(tmp_path / "out" / "checkpoint-5", global_step=5)
    path = state_file(folder)
    adapter(folder / "adapter_model.safetensors", {"a": [1.0]})
    config = {"base_model_name_or_path": "org/base", "r": 4, "lora_alpha": 8}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    found = importing.import_state(cat, tmp_path / "out")
    run = client.refresh(cat, found.run.id)
    assert found.new and (run.status, run.step, run.total_steps) == ("finished", 20, 40)
    assert run.model == "hub:org/base" and run.recipe["r"] == 4
    assert run.recipe["learning_rate"] == 2e-4 and "lora_dropout" not in run.recipe
    with client.reader(cat, run.id) as run_db:
        assert set(run_db.names()) == {"epoch", "loss", "learning_rate", "token_accuracy",
                                       "grad_norm", "eval_loss"}  # fmt: skip
        assert len(run_db.exact("loss")) == 20 and len(run_db.exact("eval_loss")) == 4
    (saved,) = checkpoints.complete(cat.workspace.run_dir(run.id))
    assert saved.step == 20 and not checkpoints.verify(saved.path)
    assert saved.eval_loss == pytest.approx(3 * math.exp(-20 / 8) + 0.1)
    assert any(verdict.rule == "underfit" for verdict in diagnosis(cat, run))
    again = importing.import_state(cat, path)
    assert (again.new, again.run.id) == (False, run.id) and len(runs.all(cat)) == 1
    with pytest.raises(BadInput, match=r"spec\.json"):
        client.extend(cat, run.id, max_steps=5)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not JSON"),
        ("[]", "log_history"),
        ('{"log_history": {}}', "log_history"),
        ('{"log_history": []}', "no number"),
        ('{"log_history": [{"loss": 1}, 3, {"step": 1e999, "loss": 2}]}', "no number"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_state_is_refused(cat: Catalogue, tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=match):
        importing.import_state(cat, path)
    assert runs.all(cat) == []


def test_missing_keys_and_strange_values_are_borne(cat: Catalogue, tmp_path: Path) -> None:
    logs = [{"step": 2, "loss": float("nan")}, {"step": 1, "loss": 3}, {"loss": 1}, "x",
            {"step": 3, "loss": 10**400, "note": "text", "on": True}]  # fmt: skip
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": logs}))
    found = importing.import_state(cat, path)
    assert found.notes == ("2 entries of log_history have no step and were left out",)
    assert (found.run.step, found.run.total_steps, found.run.model) == (3, None, "unknown")
    with client.reader(cat, found.run.id) as run_db:
        assert run_db.exact("loss") == [(1, 3.0), (2, None), (3, None)]
        assert run_db.names() == ["loss"]


def test_imported_runs_are_compared_only_as_far_as_known(cat: Catalogue, tmp_path: Path) -> None:
    one = importing.import_state(cat, state_file(tmp_path / "a")).run
    longer = [{"step": s, "loss": 2.0} for s in range(1, 5)]
    two = importing.import_state(cat, state_file(tmp_path / "b", log_history=longer)).run
    found = compare(cat, [one.id, two.id])
    assert found.settings["learning_rate"] == [2e-4, None]
    assert found.judgements[two.id].answer == "unknown"
    assert found.gaps[two.id][0].metric == "loss" and found.gaps[two.id][0].steps == 4
    json.dumps(found.as_dict())
    with pytest.raises(BadInput, match="two different runs"):
        compare(cat, [one.id, one.id])


HOSTILE = "<script>alert(1)</script>![x](http://h/y.png)`|\x1b[31m\u202e*a*_b_</pre>&lt;"


def test_a_report_takes_every_text_as_text(cat: Catalogue, tmp_path: Path) -> None:
    run = runs.create(
        cat, model=HOSTILE, dataset=HOSTILE, recipe={"optim": HOSTILE}, seed=1, name=HOSTILE,
        note=f"{HOSTILE} {SECRETS[0]}", status="finished", machine={"cpu": HOSTILE},
    )  # fmt: skip
    run_dir = cat.workspace.run_dir(run.id)
    run_dir.mkdir(parents=True)
    with RunWriter.open(run_dir / "run.db") as writer:
        for step in range(1, 2000):
            writer.metrics(step, {"loss": math.nan if step == 900 else 2.0 + 1 / step,
                                  f"suite/{HOSTILE}": 1.0})  # fmt: skip
        writer.sample(3, HOSTILE, "adapter", f"{HOSTILE}\n```\n# no heading", 3, "length")
        writer.event("warning", HOSTILE, level="warn")
        writer.state("finished", step=1999, total_steps=1999)
    page = report.render(cat, run.id, "html")
    assert "<script" not in page and "<img" not in page and "\x1b" not in page
    assert "\u202e" not in page and SECRETS[0] not in page
    outside = re.findall(r"(?:src|href|url)\s*[=(]", page)
    assert outside == [] and "default-src 'none'" in page
    drawn = re.findall(r"<svg.*?</svg>", page)
    assert len(drawn) == 2 and "✗" in drawn[0]
    import xml.dom.minidom

    for one in drawn:
        xml.dom.minidom.parseString(one)
    text = report.render(cat, run.id)
    plain = re.sub(r"(`{3,})text\n.*?\n\1", "", text, flags=re.DOTALL)  # What is no code:
    plain = re.sub(r"(`+)[^`].*?\1(?!`)", "", plain)
    plain = re.sub(r"\\.", "", plain)
    assert "<" not in plain.replace("<!-- workbench report", "") and "[x" not in plain
    assert "\x1b" not in text and "\u202e" not in text and SECRETS[0] not in text
    assert "````text" in text  # A fence longer than the one in the answer.
    # Every line of a table has as many cells as its head.
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    out = tmp_path / "r.html"
    report.save(out, page)
    report.save(out, page)
    (tmp_path / "mine.md").write_text("mine")
    with pytest.raises(Conflict, match="not a report"):
        report.save(tmp_path / "mine.md", text)
    assert (tmp_path / "mine.md").read_text() == "mine" and len(list(tmp_path.iterdir())) == 3


def test_an_account_reaches_only_the_run_that_reports_to_it() -> None:
    ours = {"WANDB_API_KEY": "k", "WANDB_MODE": "online", "HF_TOKEN": "t", "PATH": "/bin"}
    assert tracking.environment([], ours) == tracking.environment(["tensorboard"], ours) == {}
    told = tracking.environment(["wandb"], ours)
    assert told == {"WANDB_API_KEY": "k", "WANDB_MODE": "online"}
