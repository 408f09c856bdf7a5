"""`workbench chat` and `workbench check` as programs: exit codes, one JSON object, safe text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.chat import record
from engine.chat.client import Sampling
from store import chats, checks
from store.catalogue import Catalogue
from tests.engine.chat_fixtures import make_gguf, make_model

SUITE = """
max_tokens = 4
[[group]]
name = "talks"
prompts = ["Hi", "Why is the sky blue?"]
[[group.check]]
kind = "regex"
value = "."
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def _json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def test_chat_answers_as_json_and_keeps_the_chat(cat: Catalogue, tmp_path: Path) -> None:
    gguf = make_gguf(make_model(tmp_path / "tiny"), tmp_path / "tiny.gguf")
    home = str(cat.workspace.root)
    ask = ["chat", "--workspace", home, "--model", "starter", "--model", str(gguf), "--json"]
    ask += ["--prompt", "Why is the sky blue?", "--system", "Be brief.", "--max-tokens", "5"]
    told = _json(_run(*ask, "--temperature", "0.7", "--seed", "3"))
    assert [a["model"] for a in told["answers"]] == ["starter", str(gguf)]
    for answer in told["answers"]:
        assert 0 < answer["tokens"] <= 5
        assert answer["seconds"] > 0
        assert answer["stop"] in ("turn end", "length")
    (chat,) = chats.all(cat)
    assert (chat.id, chat.system, chat.sampling["seed"]) == (told["chat"], "Be brief.", 3)
    user, first, second = chats.turns(cat, chat.id)
    assert user.text == "Why is the sky blue?"
    assert (first.column, second.column, first.position) == ("A", "B", second.position)
    assert [first.text, second.text] == [a["text"] for a in told["answers"]]
    assert not list(cat.workspace.sockets.glob("*.sock"))


def test_chat_for_people_shows_control_bytes(cat: Catalogue, tmp_path: Path) -> None:
    gguf = make_gguf(make_model(tmp_path / "tiny"), tmp_path / "tiny.gguf")
    home = str(cat.workspace.root)
    ask = ["chat", "--workspace", home, "--model", str(gguf), "--prompt", "Hi"]
    done = _run(*ask, "--temperature", "90", "--max-tokens", "200")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "tok/s" in done.stdout
    (chat,) = chats.all(cat)
    said = chats.turns(cat, chat.id)[1].text
    assert any(ord(sign) < 32 and sign not in "\n\t" for sign in said)
    assert not any(ord(sign) < 32 and sign not in "\n\t" for sign in done.stdout)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["chat", "--model", "nope", "--prompt", "hi"], "model 'nope'"),
        (["chat", "--model", "run:7", "--prompt", "hi"], "run 7 does not exist"),
        (["chat", "--model", "starter", "--prompt", "hi", "--max-tokens", "0"], "max-tokens"),
        (["check", "nope", "--model", "starter"], "suite 'nope'"),
        (["check", "habit"], "--model"),
    ],
)
def test_bad_input_is_two_lines_and_exit_code_2(
    cat: Catalogue, arguments: list[str], told: str
) -> None:
    done = _run(*arguments, "--workspace", str(cat.workspace.root))
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""


def test_check_counts_and_records(cat: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "talks.toml"
    path.write_text(SUITE)
    home = str(cat.workspace.root)
    models = ["--model", "starter", "--model", "starter"]
    told = _json(_run("check", str(path), *models, "--workspace", home, "--json"))
    (model, again), (pair,) = told["models"], told["pairs"]
    assert model["items"] == again["items"]
    assert (pair["verdict"], pair["flipped_up"], pair["flipped_down"]) == (
        "cannot tell apart",
        0,
        0,
    )
    assert (pair["p"], pair["pairs"], pair["detectable_drop"]) == (1, 2, None)
    assert (model["checks"][0]["check"], model["skipped"], model["errors"]) == ("regex '.'", 0, 0)
    assert (model["model"], model["passed"], model["failed"], model["rate"]) == ("starter", 2, 0, 1)
    assert model["low"] < 1
    assert model["groups"][0]["name"] == "talks"
    listed = _run("check", "--kinds").stdout
    assert all(name in listed for name in ("shell_parses", "json_schema", "tolerance"))
    assert [k.passed for k in checks.all(cat, suite="talks")] == [2]
    assert "finished" in _run("check", "--jobs", "--workspace", home).stdout


def test_a_chat_is_titled_by_its_first_words(cat: Catalogue) -> None:
    chat_id = record.begin(cat, "  Why\n is " + "x" * 100, sampling=Sampling(seed=4))
    chat = chats.get(cat, chat_id)
    assert chat.title.startswith("Why is x")
    assert len(chat.title) == record.TITLE
    assert chat.sampling["seed"] == 4
