"""Lines to copy: quoted for a shell, and the Python ones run as they stand."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from engine.export import lines
from engine.export.gguf.convert import write_gguf
from engine.export.merge import Merged
from engine.jobs.process import environment
from store import exports
from store.catalogue import Catalogue
from store.errors import NotFound
from store.exports import Kind
from tests.engine.chat_fixtures import add_run
from tests.engine.export_models import edit_json, random_adapter, source_of, tiny_llama

AWKWARD = "a b, 'c' \"d\" $HOME `e`"


def _lines(cat: Catalogue, kind: Kind, path: Path, ref: str = "starter") -> dict[str, str]:
    record = exports.create(cat, ref=ref, kind=kind, type="f16", path=str(path))
    return {one.title: one.text for one in lines.lines_of(cat, record)}


def _answer(program: str) -> str:
    """What a program prints that is run as it stands."""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_python_lines_answer_alike(
    cat: Catalogue, starter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shipped model as a file, as a folder, and under an adapter that changes little."""
    home = tmp_path / AWKWARD
    home.mkdir()
    file, merged = home / "model.gguf", home / "merged"
    write_gguf(
        Merged(source_of(starter)), starter, "f32", file, notes={}, on_progress=lambda *_: None
    )
    merged.symlink_to(starter)
    adapter = random_adapter(starter, home / "adapter", strength=1e-4)
    run = add_run(cat, "starter", {4: adapter})
    answer = _answer(_lines(cat, "gguf", file)["Python (llama-cpp-python)"])
    assert len(answer) > 5
    small = home / "small.gguf"  # llama.cpp takes other ways with weights of 8 bits
    write_gguf(
        Merged(source_of(starter)), starter, "q8_0", small, notes={}, on_progress=lambda *_: None
    )
    assert len(_answer(_lines(cat, "gguf", small)["Python (llama-cpp-python)"])) > 5
    for text in (
        _lines(cat, "merged", merged)["Python (transformers)"],
        _lines(cat, "adapter", adapter, run)["Python (PEFT)"],
    ):
        capsys.readouterr()
        exec(text, {})  # noqa: S102
        assert capsys.readouterr().out == answer


def test_words_reach_a_shell_whole(
    cat: Catalogue, starter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "has_amx", lambda: False)
    file = tmp_path / f"{AWKWARD}.gguf"
    file.touch()
    found = _lines(cat, "gguf", file)
    assert shlex.split(found["workbench serve"]) == ["workbench", "serve", str(file)]
    assert "use_extra_bufts" not in found["Python (llama-cpp-python)"]
    words = shlex.split(found["llama-server"])
    assert words[:3] == ["llama-server", "-m", str(file)]
    assert words[3:] == ["-ngl", "99", "-c", "1024", "--jinja", "--temp", "0", "--port", "8080"]

    monkeypatch.setattr(lines, "has_amx", lambda: True)
    found = _lines(cat, "gguf", file)
    assert shlex.split(found["llama-server"])[-3:] == ["--no-repack", "--port", "8080"]
    assert "options.use_extra_bufts = False" in found["Python (llama-cpp-python)"]

    folder = tmp_path / "it's"
    folder.mkdir()
    created, ran = _lines(cat, "ollama", folder)["Ollama"].splitlines()
    assert shlex.split(created)[-2:] == ["-f", str(folder / "Modelfile")]
    assert ran.startswith("ollama run ")
    assert shlex.split(_lines(cat, "merged", folder)["vLLM"]) == ["vllm", "serve", str(folder)]


def test_an_adapter_goes_on_its_base(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / f"{AWKWARD}.gguf"
    file.touch()
    found = _lines(cat, "adapter-gguf", file)
    assert "workbench export starter" in found["The base as a file, first"]
    words = shlex.split(found["llama-cli"])
    # llama.cpp reads this option as comma-separated values.
    assert words[words.index("--lora") + 1] == '"' + str(file).replace('"', '""') + '"'
    assert shlex.split(found["workbench serve"])[2] == f"base.gguf+{file}"
    [ollama] = [text for title, text in found.items() if title.startswith("Ollama")]
    made, created, _ = ollama.splitlines()
    assert shlex.split(made)[:5] == ["workbench", "export", "starter", "--to", "ollama"]
    assert shlex.split(created)[-1] == f"{shlex.split(made)[-1]}/Modelfile"

    base = tmp_path / "base.gguf"
    base.touch()
    record = exports.create(cat, ref="starter", kind="gguf", type="f16", path=str(base))
    exports.update(cat, record.id, status="proved")
    found = _lines(cat, "adapter-gguf", file)
    assert shlex.split(found["llama-cli"])[2] == str(base)
    assert "The base as a file, first" not in found


def test_drawing_is_the_models_own(
    cat: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it llama.cpp would draw with defaults of its own."""
    base = tiny_llama(tmp_path / "base", max_position_embeddings=131072)
    drawn = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "min_p": 9}
    edit_json(base / "generation_config.json", **drawn)
    file = tmp_path / "model.gguf"
    file.touch()
    monkeypatch.setattr(lines, "has_amx", lambda: False)
    words = shlex.split(_lines(cat, "gguf", file, str(base))["llama-cli"])
    assert words[words.index("-c") + 1] == "8192"
    drawing = words[words.index("--jinja") + 1 :]
    said = dict(zip(drawing[::2], drawing[1::2], strict=True))
    assert said == {
        "--temp": "0.6", "--top-p": "0.95", "--top-k": "50", "--min-p": "0",
        "--repeat-penalty": "1",
    }  # fmt: skip


def test_a_model_without_a_template_goes_on_with_text(cat: Catalogue, tmp_path: Path) -> None:
    """llama-cpp-python would put the turns of Llama 2 around it."""
    base = tiny_llama(tmp_path / "base")
    (base / "chat_template.jinja").unlink()
    file = tmp_path / "model.gguf"
    write_gguf(Merged(source_of(base)), base, "f32", file, notes={}, on_progress=lambda *_: None)
    found = _lines(cat, "gguf", file, str(base))
    assert "-no-cnv" in shlex.split(found["llama-completion"])
    assert "--jinja" not in found["llama-server"]
    text = found["Python (llama-cpp-python)"]
    assert "model(\n    'Once upon a time'," in text
    assert len(_answer(text)) > 5
    assert "tokenizer('Once" in _lines(cat, "merged", base, str(base))["Python (transformers)"]


def test_what_is_gone_has_no_lines(cat: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.gguf: is gone"):
        _lines(cat, "gguf", tmp_path / "none.gguf")
