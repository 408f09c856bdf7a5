"""The converter of a llama.cpp checkout: how it is run, and what is said when it cannot.

The checkout here is a small one with the layout of the real one.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.export import client, files
from engine.export.gguf import checkout
from engine.export.gguf.checkout import Checkout
from engine.export.stages import Stage
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NotFound, Unsupported
from tests.engine.chat_fixtures import add_run
from tests.engine.export_models import edit_json, random_adapter, tiny_llama

SCRIPT = """
import argparse, json, os, sys
from pathlib import Path
sys.path.insert(1, str(Path(__file__).parent / "gguf-py"))
import gguf
from conversion import convert
parser = argparse.ArgumentParser()
for name in ("model", "--outfile", "--outtype"):
    parser.add_argument(name)
parser.add_argument("--vocab-only", action="store_true")
asked = parser.parse_args()
print("by", gguf.WHOSE)
config = json.loads((Path(asked.model) / "config.json").read_text())
if asked.vocab_only and "vocab" in config:
    sys.exit(config["vocab"])
exec(config["do"])
Path(asked.outfile).write_text(convert(config, asked.outtype))
"""
SEEN = (
    '"|".join(k for k in os.environ if k in ("HF_TOKEN", "PYTHONPATH")) '
    '+ os.environ["HF_HUB_OFFLINE"]'
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "a clone {ftype}"
    for name, text in (
        ("convert_hf_to_gguf.py", SCRIPT),
        ("conversion/__init__.py", "def convert(config, kind): return config['name'] + kind\n"),
        ("gguf-py/gguf/__init__.py", "WHOSE = 'its own'\n"),
        (".git/HEAD", "ref: refs/heads/master\n"),
        (".git/packed-refs", f"# pack-refs\n{'c' * 40} refs/heads/master\n"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _model(tmp_path: Path, do: str = "", **config: object) -> Path:
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"name": "n", "do": do, **config}))
    return folder


def test_a_file_is_made_and_its_maker_is_known(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    found = Checkout.open(clone)
    target, log = tmp_path / "out {x}.gguf", tmp_path / "log"
    model = _model(tmp_path, f"config['name'] = {SEEN}")
    found.convert(model, target, "bf16", log)
    assert target.read_text() == "1bf16"
    assert log.read_text() == "by its own\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == [clone.name, "log", "model", target.name]
    assert not list(clone.rglob("__pycache__"))

    assert found.facts()["converter_commit"] == "c" * 40
    (clone / "conversion" / "__init__.py").write_text("# changed\n")
    changed = Checkout.open(clone)
    assert changed.commit == found.commit
    assert changed.sha256 != found.sha256
    (clone / ".git" / "refs" / "heads").mkdir(parents=True)
    (clone / ".git" / "refs" / "heads" / "master").write_text(f"{'d' * 40}\n")
    assert Checkout.open(clone).commit == "d" * 40
    (clone / ".git" / "HEAD").write_text("nonsense")
    assert Checkout.open(clone).commit is None


@pytest.mark.parametrize(
    ("do", "message", "hint"),
    [
        ("import no_such_package.inside", "Python package no_such_package.", "pip"),
        ("sys.exit('Model FooForCausalLM is not supported')", "know FooForCausalLM either", "Upd"),
        ("sys.exit('BPE pre-tokenizer was not recognized - up')", "know the tokenizer", "merged"),
        ("raise KeyError('\\x1b[2J')", "failed: KeyError: '\\x1b[2J'", "All it said is in"),
        ("sys.exit('\\x1b[2J')", "failed: ␛[2J", "All it said is in"),
        ("os._exit(0)", "failed: by its own", "All it said is in"),
        ("os.kill(os.getpid(), 9)", "was ended by SIGKILL", "lack of memory"),
    ],
)
def test_what_it_cannot_is_said(
    clone: Path, tmp_path: Path, do: str, message: str, hint: str
) -> None:
    log = tmp_path / "log"
    log.write_text("No module named 'of an earlier one'\n")
    target = tmp_path / "out.gguf"
    with pytest.raises(Unsupported) as refused:
        Checkout.open(clone).convert(_model(tmp_path, do), target, "f16", log)
    assert message in refused.value.message
    assert hint in refused.value.hint
    assert not target.exists()


WRITES = """
sys.modules.pop("gguf")
sys.path.pop(1)
from engine.export.gguf.convert import write_gguf
from engine.export.merge import Merged
from engine.export.stages import Source
source = Source("m", asked.model, "m")
write_gguf(Merged(source), Path(asked.model), asked.outtype, Path(asked.outfile), notes={},
           on_progress=lambda *_: None)
sys.exit()
"""


def test_what_it_makes_is_proved(cat: Catalogue, clone: Path, tmp_path: Path) -> None:
    """From a run: a merged folder for the converter, its file, the proof."""
    base = tiny_llama(tmp_path / "base", num_hidden_layers=1)
    run = add_run(cat, str(base), {4: random_adapter(base, tmp_path / "adapter")})
    edit_json(base / "config.json", do=WRITES)
    told: list[Stage] = []
    [made] = client.export(cat, run, types=["q8_0"], llama_cpp=clone, on_event=told.append)
    assert made.status == "proved"
    assert made.provenance["converter_commit"] == "c" * 40
    assert made.provenance["converter_sha256"] == Checkout.open(clone).sha256
    [written] = [stage for stage in told if stage.name == "write" and stage.state == "pass"]
    assert written.text == "by llama.cpp's own converter (ccccccccc)"
    left = {path.name for path in Path(made.path).parent.iterdir()}
    assert all(name.startswith(Path(made.path).name) for name in left)


def test_what_it_cannot_is_known_before_weights_are_written(
    cat: Catalogue, clone: Path, tmp_path: Path
) -> None:
    base = tiny_llama(tmp_path / "base", num_hidden_layers=1)
    edit_json(base / "config.json", vocab="Model Foo is not supported")
    told: list[Stage] = []
    with pytest.raises(Unsupported, match="does not know Foo either"):
        client.export(cat, str(base), types=["f16"], llama_cpp=clone, on_event=told.append)
    assert not [stage for stage in told if "done" in stage.numbers]


def test_what_a_killed_converter_left_is_taken_away(tmp_path: Path) -> None:
    partial = files.partial_of(tmp_path / "out.gguf")
    for one in (partial, files.halfway_of(partial)):
        files.room_of(one).mkdir()
        (files.room_of(one) / "model.gguf").touch()
    files.remove_partial(partial)
    assert not list(tmp_path.iterdir())


def test_a_checkout_brings_its_own_python(clone: Path, tmp_path: Path) -> None:
    assert Checkout.open(clone).python == sys.executable
    own = clone / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text(f'#!/bin/sh\necho of its own\nexec {shlex.quote(sys.executable)} "$@"\n')
    own.chmod(0o755)
    log = tmp_path / "log"
    Checkout.open(clone).convert(_model(tmp_path), tmp_path / "out.gguf", "f16", log)
    assert log.read_text() == "of its own\nby its own\n"
    missing = _model(tmp_path, "import no_such_package")
    with pytest.raises(Unsupported) as refused:
        Checkout.open(clone).convert(missing, tmp_path / "out.gguf", "f16", log)
    assert shlex.quote(str(own)) in refused.value.hint
    own.write_text("nothing that runs")
    with pytest.raises(Unsupported, match=r"\.venv/bin/python: cannot be started"):
        Checkout.open(clone).convert(missing, tmp_path / "out.gguf", "f16", log)


def test_code_of_a_model_is_never_run(clone: Path, tmp_path: Path) -> None:
    model = _model(tmp_path, auto_map={"AutoModel": "modeling.Evil"})
    with pytest.raises(Unsupported, match=r"config\.json: key auto_map"):
        Checkout.open(clone).convert(model, tmp_path / "out.gguf", "f16", tmp_path / "log")


def test_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such folder"):
        Checkout.open(tmp_path / "none")
    with pytest.raises(BadInput, match=r"no convert_hf_to_gguf\.py lies there") as refused:
        Checkout.open(tmp_path)
    assert "git clone" in refused.value.hint


def test_it_ends_when_it_is_cancelled(clone: Path, tmp_path: Path) -> None:
    cancel, ready = threading.Event(), tmp_path / "ready"
    model = _model(tmp_path, f"os.mkfifo({str(ready)!r}); open({str(ready)!r}, 'w'); import time; "
                             "time.sleep(600)")  # fmt: skip

    def wait() -> None:
        while not ready.exists():
            pass
        with ready.open():
            cancel.set()

    threading.Thread(target=wait, daemon=True).start()
    with pytest.raises(Conflict, match="cancelled"):
        Checkout.open(clone).convert(model, tmp_path / "o.gguf", "f16", tmp_path / "log", cancel)
    assert not (tmp_path / "o.gguf").exists()


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("print('up', flush=True)\nimport time\ntime.sleep(600)\n")
    command = [sys.executable, "-P", "-c", checkout._START, str(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        child.stdin.close()
        assert child.wait(30) == 1
