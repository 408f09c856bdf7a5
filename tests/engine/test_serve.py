"""`workbench serve` over real HTTP with the real starter: answers, streams, refusals, its end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.export.gguf.adapter import write_adapter_gguf
from engine.serve.answering import Cut
from tests.engine.chat_fixtures import make_adapter, make_gguf, make_model
from tests.engine.export_models import source_of

ROOT = Path(__file__).parents[2]
FOX = [{"role": "user", "content": "What colour is the fox?"}]
ASK = {"model": "starter", "messages": FOX, "temperature": 0, "max_tokens": 12}


class Served:
    """A server process and where it is."""

    def __init__(self, home: Path, ref: str, *more: str) -> None:
        command = [sys.executable, "-m", "workbench", "serve", ref, "--port", "0", "--json"]
        self.process = subprocess.Popen(
            [*command, "--workspace", str(home), *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.told = json.loads(line)
        self.place = self.told["url"].split("/")[2]

    def send(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request of its own connection."""
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        line = http.client.HTTPConnection(self.place, timeout=60)
        line.request(method, path, raw, headers)
        reply = line.getresponse()
        found = reply.read()
        line.close()
        return reply, found

    def ask(self, **more: Any) -> Any:
        """A completion that must work."""
        reply, body = self.send("POST", "/v1/chat/completions", {**ASK, **more})
        assert reply.status == 200, body
        return json.loads(body)

    def end(self) -> tuple[int, str]:
        """ctrl+c; the exit code and what was complained about."""
        self.process.send_signal(signal.SIGINT)
        err = self.process.communicate(timeout=60)[1]
        return self.process.returncode, err


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the tests that leave it as it was."""
    found = Served(tmp_path_factory.mktemp("served") / "ws", "starter")
    yield found
    found.process.kill()
    found.process.communicate()


def _events(body: bytes) -> list[str]:
    return [part.removeprefix("data: ") for part in body.decode().split("\n\n") if part]


def test_an_answer_whole_and_in_pieces(served: Served) -> None:
    listed = json.loads(served.send("GET", "/v1/models")[1])
    assert [model["id"] for model in listed["data"]] == ["starter"] == [served.told["model"]]
    whole = served.ask()
    (choice,) = whole["choices"]
    said, usage = choice["message"]["content"], whole["usage"]
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    reply, body = served.send("POST", "/v1/chat/completions", {**ASK, **options})
    assert reply.getheader("Content-Type", "").startswith("text/event-stream")
    *chunks, last = _events(body)
    told = [json.loads(chunk) for chunk in chunks]
    deltas = [one["choices"][0] for one in told if one["choices"]]
    assert "".join(one["delta"].get("content", "") for one in deltas) == said
    assert (deltas[-1]["finish_reason"], told[-1]["usage"], last) == ("stop", usage, "[DONE]")


def test_limits_seeds_and_stop_sequences_are_honoured(served: Served) -> None:
    said = served.ask()["choices"][0]["message"]["content"]
    short = served.ask(max_tokens=None, max_completion_tokens=2)
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 2
    word = said.split()[2]
    cut = served.ask(stop=["never said", word])["choices"][0]
    assert cut["finish_reason"] == "stop"
    assert cut["message"]["content"] == said[: said.index(word)]
    open_ended = [{"role": "user", "content": "Tell me about the moon and a ship."}]
    drawn = [
        served.ask(messages=open_ended, temperature=2, seed=seed)["choices"][0]["message"][
            "content"
        ]
        for seed in (0, 0, *range(1, 8))
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
    hot: dict[str, Any] = {"messages": FOX, "temperature": 2, "seed": 4}
    for narrow in ({"top_k": 1}, {"min_p": 1.0}):  # only the likeliest is left
        assert served.ask(**hot, **narrow)["choices"][0]["message"]["content"] == said
    stutters = served.ask(repetition_penalty=9.0, top_k=-1)["choices"][0]["message"]["content"]
    assert stutters != said
    turns = [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}, *FOX]
    # What a client sends back holds nulls, and what says no more than what we do anyway.
    history = [*FOX, {"role": "assistant", "content": said, "refusal": None}, *turns]
    same = {"n": 1, "logprobs": False, "logit_bias": {}, "tool_choice": "none"}
    assert served.ask(messages=history, **same)["usage"]["prompt_tokens"] > 20


REFUSED = [
    ({"model": "nope"}, 404, "model", "nope"),
    ({"tools": [{"type": "function"}]}, 400, "tools", "tools"),
    ({"n": 2}, 400, "n", "expected 1"),
    ({"colour": 1}, 400, "colour", "colour"),
    ({"temperature": 3}, 400, "temperature", "2"),
    ({"min_p": 1.5}, 400, "min_p", "1"),
    ({"stop": [""]}, 400, "stop[0]", "length"),
    ({"messages": []}, 400, "messages", "empty"),
    ({"messages": [{"role": "user"}]}, 400, "messages[0].content", "missing"),
    ({"messages": [{"role": "robot", "content": ""}]}, 400, "messages[0].role", "robot"),
    ({"messages": [*FOX, {"role": "assistant", "content": "."}]}, 400, "messages", "assistant"),
    ({"max_tokens": 1, "max_completion_tokens": 2}, 400, "max_tokens", "max_completion_tokens"),
    ({"stream_options": {}}, 400, "stream_options", "stream"),
    ({"messages": [{"role": "user", "content": "fox " * 3000}]}, 400, None, "holds 1,024"),
    ({"messages": [{"role": "user", "content": "a " * 3000}], "stream": True}, 400, None, "holds"),
    ({"messages": [{"role": "user", "content": "x" * (9 << 20)}]}, 413, None, "bytes"),
]


@pytest.mark.parametrize(("more", "status", "field", "words"), REFUSED)
def test_what_is_not_honoured_is_refused_by_name(
    served: Served, more: dict[str, Any], status: int, field: str | None, words: str
) -> None:
    reply, body = served.send("POST", "/v1/chat/completions", {**ASK, **more})
    error = json.loads(body)["error"]
    assert (reply.status, error["param"]) == (status, field)
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/v1/models", {"Host": "rebound.example"}, None, 403),
        ("GET", "/v1/models", {"Host": "127.0.0.1.rebound.example"}, None, 403),
        ("POST", "/v1/chat/completions", {"Origin": "https://page.example"}, b"{}", 403),
        ("POST", "/v1/chat/completions", {"Origin": "null"}, b"{}", 403),
        ("GET", "/v1/models", {"Origin": "http://localhost:3000"}, None, 200),
        ("GET", "/v1/models/nope", {}, None, 404),
        ("GET", "/v1/engines", {}, None, 404),
        ("GET", "/v1/chat/completions", {}, None, 405),
        ("PUT", "/v1/models", {}, b"", 405),
        ("POST", "/v1/chat/completions", {}, b"{", 400),
        ("POST", "/v1/chat/completions", {}, b"[" * 100_000, 400),
        ("POST", "/v1/chat/completions", {}, b"\xff", 400),
        ("POST", "/v1/chat/completions", {"Content-Length": "-5"}, b"", 400),
        ("POST", "/v1/chat/completions", {"Transfer-Encoding": "chunked"}, b"", 411),
    ],
)
def test_http_that_is_not_meant_for_us(
    served: Served,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None,
    status: int,
) -> None:
    reply, said = served.send(method, path, body, **headers)
    assert reply.status == status
    assert (status == 200) != ("error" in json.loads(said))


def test_many_at_once(served: Served) -> None:
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: served.ask()["choices"][0]["message"]["content"], range(8)))
    assert len(set(said)) == 1


def _worker(home: Path) -> psutil.Process:
    return next(
        one
        for one in psutil.process_iter()
        if one.status() != psutil.STATUS_ZOMBIE
        and "engine.chat.worker" in one.cmdline()
        and str(home) in one.cmdline()[-1]
    )


def _killed_while_asked(
    found: Served, home: Path, body: dict[str, Any], headers: dict[str, str]
) -> int:
    """The status of a whole answer whose worker dies; one that was not asked yet is replaced."""
    with ThreadPoolExecutor(1) as pool:
        while True:
            worker = _worker(home)
            worker.suspend()
            asked = pool.submit(
                lambda: found.send("POST", "/v1/chat/completions", body, **headers)[0].status
            )
            wait([asked], timeout=1)
            worker.kill()
            if asked.result() != 200:
                return asked.result()


def test_a_key_a_client_that_leaves_a_worker_that_dies_and_the_end(tmp_path: Path) -> None:
    # Random weights hardly ever end a turn, and are wide here to take their time.
    folder = make_model(tmp_path / "rambler", hidden=1024)
    found = Served(tmp_path / "ws", str(folder), "--key", "open sesame")
    ask = {**ASK, "model": found.told["model"], "temperature": 2, "seed": 1}
    long = {**ask, "max_tokens": 200, "stream": True}
    right = {"Authorization": "Bearer open sesame"}

    def begin() -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        line = http.client.HTTPConnection(found.place, timeout=60)
        line.request("POST", "/v1/chat/completions", json.dumps(long), right)
        reply = line.getresponse()
        assert reply.read(10)
        return line, reply

    try:
        assert found.told["model"] == "rambler"
        assert found.send("GET", "/v1/models")[0].status == 401
        assert found.send("GET", "/v1/models", Authorization="Bearer x")[0].status == 401
        left, reply = begin()
        reply.close()
        left.close()
        assert found.send("POST", "/v1/chat/completions", ask, **right)[0].status == 200
        worker = _worker(tmp_path)  # looked for before: an answer takes no longer than looking
        line, reply = begin()
        worker.kill()
        *_, last = _events(reply.read())
        line.close()
        assert "ended without an answer" in json.loads(last)["error"]["message"]
        assert json.loads(last)["error"]["type"] == "server_error"
        # The next one is answered by a new worker; whoever waits for it is told of the end.
        assert found.send("POST", "/v1/chat/completions", ask, **right)[0].status == 200
        assert _killed_while_asked(found, tmp_path, {**ask, "max_tokens": 200}, right) == 503
        line, reply = begin()
    finally:
        code, err = found.end()
    assert (code, err) == (0, "")
    *_, last = _events(reply.read())
    assert "the server is ending" in json.loads(last)["error"]["message"]
    assert not list((tmp_path / "ws").rglob("*.sock"))


def test_a_file_with_an_adapter_is_served_as_what_it_is(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "tiny")
    base, adapter = make_gguf(folder, tmp_path / "tiny.gguf"), tmp_path / "lora.gguf"
    trained = source_of(folder, make_adapter(folder, tmp_path / "lora"))
    write_adapter_gguf(trained, adapter, notes={}, on_progress=lambda _done, _total: None)
    told = []
    for ref, name in ((f"{base}+{adapter}*0.5", "tiny.gguf+lora.gguf*0.5"), (base, "tiny.gguf")):
        found = Served(tmp_path / "ws", str(ref))
        try:
            listed = json.loads(found.send("GET", "/v1/models")[1])["data"]
            assert [model["id"] for model in listed] == [name]
            told.append(found.ask(model=name)["choices"][0]["message"]["content"])
        finally:
            assert found.end() == (0, "")
    assert told[0] != told[1]


def test_a_stop_sequence_is_never_told_in_part() -> None:
    cut = Cut(["STOP", "end"])
    assert [cut.feed(part) for part in ("a S", "T", "x ST", "OP b")] == ["a ", "", "STx ", ""]
    assert cut.found()
    assert cut.rest() == ""
    held = Cut(["STOP"])
    assert (held.feed("a STO"), held.rest(), held.found()) == ("a ", "STO", False)
