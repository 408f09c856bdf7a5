"""`workbench chat` with a file of questions, and as a conversation in a real terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.chat import batch
from engine.chat.client import ChatSession, Sampling
from store import chats
from store.catalogue import Catalogue
from tests.engine.chat_fixtures import make_model

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
LINES = [
    b'\xef\xbb\xbf{"prompt": "What colour is the fox?", "id": "first"}',
    b"",
    b'{"messages": [{"role": "user", "content": "What colour is the fox?"}], "id": 7}',
    b'{"prompt": "Hi", "systm": "x"}',
    b"Dear diary,",
    b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}',
    b'{"prompt": "Hi", "messages": []}',
    json.dumps({"prompt": "fox " * 3000}).encode(),
    b'{"prompt": "' + b"x" * (5 << 20) + b'"}',
    b'{"prompt": "Where is the ship?"}',
]
WRONG = ["systm", "not JSON", "assistant", "either", "holds 1,024", "bytes"]


def _results(cat: Catalogue, refs: list[str], lines: list[bytes], **more: Any) -> list[Any]:
    return list(batch.run(cat, refs, io.BytesIO(b"\n".join(lines)), Sampling(8, **more)))


def test_every_line_is_answered_in_order_or_says_why_not(
    cat: Catalogue, starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real = ChatSession.open
    monkeypatch.setattr(ChatSession, "open", lambda *a, **k: opened.append(1) or real(*a, **k))
    # More lines than are asked at once, and one session for all of them.
    more = [json.dumps({"prompt": f"What is {i} plus 1?"}).encode() for i in range(70)]
    refs = ["starter", str(starter)]
    told = _results(cat, refs, [*LINES, *more])
    assert [(one["line"], one["model"]) for one in told] == [
        (number, ref) for number in (1, *range(3, 81)) for ref in refs
    ]
    assert [one.get("id") for one in told[:6:2]] == ["first", 7, None]
    assert told[0]["text"] == told[1]["text"] == told[2]["text"]
    assert told[0]["stop"] == "turn end"
    for one, words in zip(told[4:16:2], WRONG, strict=True):
        assert one["error"].startswith(f"line {one['line']}: ")
        assert words in one["error"]
        assert one["hint"]
    assert opened == [1]
    again = _results(cat, refs, more[::-1])
    assert [one["text"] for one in again[::2]][::-1] == [one["text"] for one in told[-140::2]]
    assert opened == [1]  # greedy answers are known
    first, second = _results(cat, ["starter"], [more[0]] * 2, temperature=2.0, seed=5)
    assert first["text"] == second["text"]
    assert opened == [1, 1]


def test_answers_come_while_the_input_is_open(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workbench", "chat", "--model", "starter", "--jsonl", "-"]
    asked = subprocess.Popen(
        [*command, "--workspace", str(tmp_path / "ws")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=ENV,
    )
    assert asked.stdin is not None
    assert asked.stdout is not None
    for number in (1, 2):
        asked.stdin.write(b'{"prompt": "What colour is the fox?"}\n')
        asked.stdin.flush()
        assert json.loads(asked.stdout.readline())["line"] == number
    out, _ = asked.communicate(timeout=60)
    assert (out, asked.returncode) == (b"", 0)


def test_where_no_model_can_be_asked_no_file_is_left(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    (tmp_path / "asked.jsonl").write_text('{"prompt": "Hello"}\n')
    words = ["--model", "bad.gguf", "--jsonl", "asked.jsonl", "--out", "said.jsonl"]
    command = [sys.executable, "-m", "workbench", "chat", *words, "--workspace", "ws"]
    env = {**ENV, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"bad.gguf" in done.stderr
    assert not (tmp_path / "said.jsonl").exists()


class Terminal:
    """`workbench chat` in a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            command = [sys.executable, "-m", "workbench", "chat", *arguments]
            os.execve(sys.executable, command, ENV)
        self.text = ""

    def wait(self, pattern: str, again: str = "") -> str:
        """What was shown up to and with the pattern, which must come.

        Args:
            again: keys to press until it does: readline overlooks a signal that comes between
                its prompt and its wait for a key.
        """
        deadline = time.monotonic() + 60
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < deadline, self.text
            if select.select([self._fd], [], [], 1)[0]:
                self.text += os.read(self._fd, 4096).decode("utf-8", "replace")
            else:
                self.type(again)
        shown, self.text = self.text[: found.end()], self.text[found.end() :]
        return shown

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._fd, keys.encode())

    def end(self) -> int:
        """The exit code of a program that is leaving."""
        while True:
            try:
                if not os.read(self._fd, 4096):
                    break
            except OSError:  # how Linux says that nobody holds the other end
                break
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_conversation_in_a_terminal(cat: Catalogue, tmp_path: Path) -> None:
    # Random weights hardly ever end a turn: ctrl+c has something to stop.
    rambler = str(make_model(tmp_path / "rambler", hidden=768))
    models = ["--model", "starter", "--model", rambler]
    home = str(cat.workspace.root)
    shown = Terminal(*models, "--workspace", home, "--temperature", "2", "--max-tokens", "200")
    assert "B · " in shown.wait(r"> ")
    shown.type("What colour is the fox?\r")
    shown.wait(r"turn end\s+B · \S+\s+\S")
    shown.type("\x03")
    shown.wait(r"tok/s · stopped\s+> ")
    shown.type("And the moon?\r")
    shown.wait(r"A · starter[^>]*B · [^>]*> ")
    shown.type("/moon\r")
    shown.wait(r"/reset begins again[^>]*> ")
    shown.type("/system Be brief.\r")
    shown.wait(r"with a system message\s+> ")
    shown.type("\x03")
    shown.wait(r"ctrl\+d leaves\s+> ", again="\x03")
    shown.type("fox " * 300 + "\r")
    assert "no answer" in shown.wait(r"hint: Shorten[^>]*> ")
    shown.type("\x04")
    assert shown.end() == 0
    second, first = chats.all(cat)
    assert (first.system, second.system) == ("", "Be brief.")
    turns = chats.turns(cat, first.id)
    assert [turn.column for turn in turns] == [None, "A", "B"] * 2
    assert turns[2].stop == "stopped"
    assert turns[2].text
    # What was too long for one of them was answered by the other.
    assert [turn.column for turn in chats.turns(cat, second.id)] == [None, "A"]
    assert not list(cat.workspace.sockets.glob("*.sock"))
