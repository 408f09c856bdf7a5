"""Bad input at the command line: two lines on standard error, exit code 2, nothing left behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from workbench.cli import main

ROW = '{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello."}]}\n'


@pytest.fixture
def place(tmp_path: Path, starter: Path) -> Path:
    """A folder with good and bad files to name."""
    (tmp_path / "good.jsonl").write_text(ROW * 3)
    (tmp_path / "prose.jsonl").write_text("Dear diary,\ntoday I wrote no JSON.\n")
    (tmp_path / "shape.jsonl").write_text('{"colour":"blue"}\n')
    (tmp_path / "broken.toml").write_text('name = "x"\n[[group]\n')
    (tmp_path / "kind.toml").write_text(
        'name = "x"\n[[group]]\nname = "g"\nprompts = ["p"]\n[[group.check]]\nkind = "rhymes"\n'
    )
    (tmp_path / "fake.gguf").write_bytes(b"GGUF but not really" * 10)
    (tmp_path / "recipe.toml").write_text('description = "x"\nlerning_rate = 0.1\n')
    alien = tmp_path / "alien"
    shutil.copytree(starter, alien)
    config = json.loads((alien / "config.json").read_text())
    (alien / "config.json").write_text(json.dumps({**config, "architectures": ["AlienForLM"]}))
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    return tmp_path


CASES = [
    ("data info nowhere.jsonl", "nowhere.jsonl"),
    ("data show good.jsonl --row 99", "99"),
    ("data show good.jsonl --row 0", "0"),
    ("data preview good.jsonl --row 1 --model nowhere", "nowhere"),
    ("data preview prose.jsonl --row 1 --model starter", "line 1"),
    ("data preview shape.jsonl --row 1 --model starter", "line 1"),
    ("data set good.jsonl --row 1 --set messages.7.content=x", "messages.7"),
    ("data set good.jsonl --row 1 --set messages", "messages"),
    ("data set good.jsonl --row 1 --set mesages.1.content=x", "mesages"),
    ("train nowhere.jsonl --model starter", "nowhere.jsonl"),
    ("train prose.jsonl --model starter", "prose.jsonl"),
    ("train good.jsonl --model nowhere", "nowhere"),
    ("train good.jsonl --model pickled", "pickled"),
    ("train good.jsonl --model fake.gguf", "GGUF"),
    ("train good.jsonl --recipe nowhere", "nowhere"),
    ("train good.jsonl --recipe recipe.toml", "learning_rate"),
    ("train good.jsonl --set lerning_rate=1e-3", "learning_rate"),
    ("train good.jsonl --set learning_rate=fast", "learning_rate"),
    ("train good.jsonl --set learning_rate=-1", "learning_rate"),
    ("train good.jsonl --set r=0", "r"),
    ("train good.jsonl --set seed", "seed"),
    ("show 99", "99"),
    ("log 99", "99"),
    ("stop 99", "99"),
    ("resume 99", "99"),
    ("vote 99", "99"),
    ("vote 99 --model starter", "has its models"),
    ("vote --model nowhere --prompt Hi", "nowhere"),
    ("vote --model starter --model starter --prompt Hi", "compared with itself"),
    ("vote --model starter", "no held-out rows"),
    ("vote --model starter --prompts shape.jsonl", "no questions"),
    ("vote --model starter --prompt Hi --suite habit", "several places"),
    ("chat --model nowhere --prompt hi", "nowhere"),
    ("chat --model run:99 --prompt hi", "99"),
    ("chat --model run:x --prompt hi", "run:x"),
    ("chat --model fake.gguf --prompt hi", "fake.gguf"),
    ("chat --model hub:org/nowhere --prompt hi", "org/nowhere"),
    ("chat --model starter", "nothing to ask"),
    ("chat --model starter --prompt hi --jsonl good.jsonl", "--jsonl"),
    ("chat --model starter --prompt hi --out x.jsonl", "--out"),
    ("chat --model starter --jsonl good.jsonl", "--out"),
    ("chat --model starter --jsonl nowhere.jsonl --out x.jsonl", "nowhere.jsonl"),
    ("chat --model starter --jsonl good.jsonl --out shape.jsonl", "shape.jsonl"),
    ("chat --model nowhere --jsonl good.jsonl --out x.jsonl", "nowhere"),
    ("serve nowhere --port 0", "nowhere"),
    ("serve run:99 --port 0", "99"),
    ("serve fake.gguf --port 0", "fake.gguf"),
    ("serve starter --port 70000", "port"),
    ("serve starter --port 0 --key=", "--key"),
    ("check nowhere --model starter", "nowhere"),
    ("check broken.toml --model starter", "broken.toml"),
    ("check kind.toml --model starter", "rhymes"),
    ("export run:99 --to gguf --out x.gguf", "99"),
    ("export starter --to gguf --type q9_9 --out x.gguf", "q9_9"),
    ("export starter --to onnx --out x.onnx", "onnx"),
    ("export alien --to gguf --type f16 --out x.gguf", "AlienForLM"),
    ("export starter --to gguf --type f16 --out nowhere/deep/x.gguf", "nowhere"),
    ("verify nowhere.gguf --against starter", "nowhere.gguf"),
]


def test_a_file_that_fails_its_proof_is_reported_whole(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["verify", str(place / "fake.gguf"), "--against", "starter"]
    monkeypatch.setattr(
        "sys.argv", ["workbench", *arguments, "--workspace", str(place / "ws"), "--json"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    answer = json.loads(capfd.readouterr().out)
    assert ended.value.code == 2
    assert answer["verdict"] == "fail"
    assert answer["stages"][-1]["verdict"] == "fail"


@pytest.mark.parametrize(("command", "named"), CASES, ids=[case for case, _ in CASES])
def test_bad_input_is_met(
    command: str,
    named: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = sorted(path.name for path in place.iterdir())
    monkeypatch.chdir(place)
    arguments = [*command.split(), "--workspace", str(place / "ws"), "--json"]
    monkeypatch.setattr("sys.argv", ["workbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    assert ended.value.code == 2, err
    assert named in err
    assert "Traceback" not in err
    assert out == ""
    assert len(err.strip().splitlines()) >= 2
    left = {path.name for path in place.iterdir()} - {*before, "ws"}
    assert left == set()
