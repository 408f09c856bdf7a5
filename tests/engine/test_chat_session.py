"""The resident worker on the real starter: columns, batches, seeds, stops, deaths, rude clients."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

import assets
from engine.chat import link, protocol
from engine.chat.client import ChatSession, Sampling, answer, free_device
from engine.chat.link import Launch, Link
from engine.chat.protocol import AskRow, Delta, Done, Failed, Sealed, Started
from engine.data.rows import Turn
from store.catalogue import Catalogue
from store.errors import Conflict, WorkbenchError, WorkerDied
from store.workspace import Workspace
from tests.engine.chat_fixtures import add_run, make_adapter, make_gguf, make_model

QUESTION = [Turn("user", "What is 2 plus 3?")]
ENDLESS = Sampling(max_tokens=900, temperature=90.0)
"""So hot that answers run on until they are stopped."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A workspace with run 1 on the starter: steps 1 and 2 differ, step 3 learned nothing."""
    root = tmp_path_factory.mktemp("house")
    starter = assets.path("starter")
    made = {
        1: make_adapter(starter, root / "a1", seed=1, scale=1.0),
        2: make_adapter(starter, root / "a2", seed=2, scale=1.0),
        3: make_adapter(starter, root / "a3", scale=0),
    }
    with Catalogue.open(Workspace(root / "ws")) as cat:
        assert add_run(cat, "starter", made) == "run:1"
        yield cat


@pytest.fixture(scope="module")
def session(house: Catalogue) -> Iterator[ChatSession]:
    """Base and two checkpoints on one worker, which stays for the whole module."""
    with ChatSession.open(house, ["starter", "run:1@1", "run:1@2"], keep=True) as opened:
        yield opened
    pid = _worker(opened)
    free_device(house.workspace)
    psutil.wait_procs([pid], timeout=30)


def _worker(session: ChatSession) -> psutil.Process:
    link = next(iter(session._links.values())) if session._links else None
    path = str(link.launch.socket if link else session._launches[0].socket)
    found = [p for p in psutil.process_iter(["cmdline"]) if path in str(p.info["cmdline"])]
    assert len(found) == 1
    return found[0]


def _done(events: Iterator[Any]) -> dict[int, Done]:
    found = {}
    for event in events:
        assert not isinstance(event, Failed), event
        if isinstance(event, Done):
            found[event.column] = event
    return found


def _reference(adapter: Path | None, prompt: Sequence[int], tokens: int) -> list[int]:
    """Greedy ids by transformers' own generate, one row, nothing of ours."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(assets.path("starter"), dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    ids = torch.tensor([list(prompt)])
    with torch.inference_mode():
        out = model.eval().generate(input_ids=ids, do_sample=False, max_new_tokens=tokens)
    return [int(token) for token in out[0, len(prompt) :]]


def test_one_batch_says_what_three_models_say(house: Catalogue, session: ChatSession) -> None:
    started = {}
    events = []
    for event in session.ask(QUESTION, Sampling(max_tokens=24)):
        events.append(event)
        if isinstance(event, Started):
            started[event.column] = event.prompt_ids
    done = _done(iter(events))
    assert [done[c].model for c in range(3)] == ["starter", "run:1@1", "run:1@2"]
    for column in range(3):
        adapter = session.models[column].adapter
        assert done[column].ids == _reference(adapter, started[column], 24)
        streamed = "".join(e.text for e in events if isinstance(e, Delta) and e.column == column)
        assert streamed == done[column].text
        assert done[column].tokens == len(done[column].ids)
    assert len({tuple(done[c].ids) for c in range(3)}) == 3
    # Columns stream at once: nobody waits for another to be done.
    first_done = next(i for i, e in enumerate(events) if isinstance(e, Done))
    assert {e.column for e in events[:first_done] if isinstance(e, Delta)} == {0, 1, 2}


def test_neighbours_and_padding_change_nothing(session: ChatSession) -> None:
    questions = [
        QUESTION,
        [Turn("system", "Answer briefly."), Turn("user", "Where can I find a camel? " * 9)],
        [Turn("user", "Hi"), Turn("assistant", "Hello."), Turn("user", "Name a colour.")],
    ] * 14
    sampling = Sampling(max_tokens=12)
    counted: list[int] = []
    batch = answer(session, questions, sampling, on_done=counted.append)
    assert counted == list(range(1, 3 * len(questions) + 1))
    for number in range(3):
        alone = _done(session.ask(questions[number], sampling))
        for column in range(3):
            for repeat in range(number, len(questions), 3):
                told = batch[repeat][column]
                assert isinstance(told, Done)
                assert told.ids == alone[column].ids


def test_a_seed_repeats_an_answer_whoever_sits_beside(session: ChatSession) -> None:
    warm = Sampling(max_tokens=30, temperature=1.5, top_p=0.95, seed=7)
    once = _done(session.ask(QUESTION, warm))
    again = _done(session.ask(QUESTION, warm))
    assert {c: d.ids for c, d in once.items()} == {c: d.ids for c, d in again.items()}
    alone = _done(session.ask_rows([AskRow(5, "run:1@1", tuple(QUESTION))], warm))
    assert alone[5].ids == once[1].ids
    other = _done(session.ask(QUESTION, replace(warm, seed=8)))
    assert {c: d.ids for c, d in once.items()} != {c: d.ids for c, d in other.items()}


def test_stop_keeps_what_was_said(session: ChatSession) -> None:
    done: dict[int, Done] = {}
    deltas = 0
    for event in session.ask(QUESTION, ENDLESS):
        deltas += isinstance(event, Delta)
        if deltas == 6:
            session.stop()
        if isinstance(event, Done):
            done[event.column] = event
    assert {d.stop for d in done.values()} == {"stopped"}
    assert all(0 < d.tokens < ENDLESS.max_tokens for d in done.values())


def test_leaving_early_frees_the_worker(session: ChatSession) -> None:
    for event in session.ask(QUESTION, ENDLESS):
        if isinstance(event, Delta):
            break
    after = _done(session.ask(QUESTION, Sampling(max_tokens=3)))
    assert {len(d.ids) for d in after.values()} == {3}


def test_closing_from_another_thread_ends_the_answer(
    house: Catalogue, session: ChatSession
) -> None:
    with ChatSession.open(house, ["starter", "run:1@1", "run:1@2"], keep=True) as other:
        assert other._launches[0].socket == session._launches[0].socket
        talking, ended = threading.Event(), threading.Event()

        def talk() -> None:
            for _ in other.ask(QUESTION, ENDLESS):
                talking.set()
            ended.set()

        threading.Thread(target=talk, daemon=True).start()
        assert talking.wait(60)
        other.close()
        assert ended.wait(60)
    assert len(_done(session.ask(QUESTION, Sampling(max_tokens=2)))) == 3


def test_a_row_that_cannot_be_asked_fails_alone(session: ChatSession) -> None:
    rows = [
        AskRow(0, "starter", (Turn("user", "word " * 3000),)),
        AskRow(1, "starter", tuple(QUESTION)),
    ]
    events = list(session.ask_rows(rows, Sampling(max_tokens=3)))
    failed = [e for e in events if isinstance(e, Failed)]
    assert [e.column for e in failed] == [0]
    assert "tokens" in failed[0].message
    assert [e.column for e in events if isinstance(e, Done)] == [1]


def test_lone_surrogates_are_no_reason_to_die(session: ChatSession) -> None:
    done = _done(session.ask([Turn("user", "odd \udcff text")], Sampling(max_tokens=2)))
    assert len(done) == 3


def test_seals_say_numbers_and_nothing_learned_is_refused(house: Catalogue) -> None:
    heard: list[Any] = []
    with ChatSession.open(house, ["run:1@2", "starter"], keep=False, on_event=heard.append):
        seals = {e.model: e for e in heard if isinstance(e, Sealed)}
        assert seals["run:1@2"].ok
        assert "moves the answers by" in seals["run:1@2"].detail
        assert "as when it was loaded" in seals["starter"].detail
    with pytest.raises(Conflict, match="run:1@3: the seal is broken: it cannot be told from"):
        ChatSession.open(house, ["starter", "run:1@3"], keep=False)


def test_an_incomplete_adapter_is_refused(house: Catalogue, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(house.workspace.run_dir(1) / "checkpoints" / "step-000001", bare)
    (bare / "adapter_model.safetensors").unlink()
    ref = add_run(house, "starter", {1: bare})
    with pytest.raises(WorkbenchError, match=r"no adapter_model\.safetensors"):
        ChatSession.open(house, ["starter", ref], keep=False)


def _raw(session: ChatSession) -> socket.socket:
    raw = socket.socket(socket.AF_UNIX)
    raw.settimeout(60)
    raw.connect(str(session._launches[0].socket))
    return raw


def _reply(lines: IO[bytes]) -> Any:
    line = lines.readline()
    return json.loads(line) if line else None


HELLO = protocol.encode(protocol.Hello(protocol.VERSION, False))


@pytest.mark.parametrize(
    "lines",
    [
        b"\xff\x00garbage\n",
        b"[" * 100_000 + b"\n",
        b'{"type":"leave"}\n',
        b'{"type":"hello","version":99,"keep":true}\n',
        HELLO + b'{"type":"ask","id":-1,"rows":[]}\n',
        HELLO + b'{"type":"ask","id":1,"rows":[],"max_tokens":5}\n',
        HELLO + b'{"type":"attach","id":1,"model":"x","adapter":"/etc","more":1}\n',
        HELLO + b"x" * (protocol.MAX_LINE + 10) + b"\n",
    ],
    ids=["bytes", "nesting", "no hello", "version", "id", "no rows", "unknown key", "long line"],
)
def test_rude_clients_are_told_and_dropped(session: ChatSession, lines: bytes) -> None:
    with _raw(session) as raw:
        with suppress(BrokenPipeError, ConnectionResetError):  # dropped while it talks: better
            raw.sendall(lines)
        told = None
        with suppress(ConnectionResetError), raw.makefile("rb") as replies:
            told = _reply(replies)
            while told is not None and told["type"] != "failed":
                told = _reply(replies)
        assert told is None or told["message"]
    assert len(_done(session.ask(QUESTION, Sampling(max_tokens=2)))) == 3


def test_asking_for_what_is_not_attached(session: ChatSession) -> None:
    ask = protocol.Ask(3, (AskRow(0, "/etc/passwd", tuple(QUESTION)),), 4)
    with _raw(session) as raw, raw.makefile("rb") as replies:
        raw.sendall(HELLO + protocol.encode(ask))
        assert _reply(replies)["type"] == "ready"
        while (told := _reply(replies))["type"] == "loading":
            pass  # for another client
        assert (told["type"], told["column"]) == ("failed", 0)
        assert "not attached" in told["message"]


def test_a_vanished_client_does_not_hold_the_worker(session: ChatSession) -> None:
    ask = protocol.Ask(1, (AskRow(0, "starter", tuple(QUESTION)),), 900, 90.0)
    with _raw(session) as raw:
        raw.sendall(HELLO + protocol.encode(ask))
        seen = b""
        while b'"delta"' not in seen:
            seen += raw.recv(65536)
    assert len(_done(session.ask(QUESTION, Sampling(max_tokens=2)))) == 3


def test_the_socket_is_the_owners_alone(session: ChatSession) -> None:
    found = session._launches[0].socket.stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_a_killed_worker_fails_its_columns_and_comes_back(cat: Catalogue, tmp_path: Path) -> None:
    model = make_model(tmp_path / "tiny")
    gguf = make_gguf(model, tmp_path / "tiny.gguf")
    with ChatSession.open(cat, [str(model), str(gguf)], keep=False) as session:
        victim = next(
            p
            for p in psutil.process_iter(["cmdline"])
            if str(session._launches[0].socket) in str(p.info["cmdline"])
        )
        events: list[Any] = []
        for event in session.ask(QUESTION, replace(ENDLESS, max_tokens=200)):
            if not events:
                victim.send_signal(signal.SIGKILL)
            events.append(event)
        failed = [e for e in events if isinstance(e, Failed)]
        assert [e.column for e in failed] == [0]
        assert str(session._launches[0].log) in failed[0].hint
        assert [e.column for e in events if isinstance(e, Done)] == [1]
        assert len(_done(session.ask(QUESTION, Sampling(max_tokens=2)))) == 2
        # A workspace with a long path has its sockets elsewhere.
        sockets = [launch.socket for launch in session._launches]
        workers = [
            p
            for p in psutil.process_iter(["cmdline"])
            if any(str(socket) in str(p.info["cmdline"]) for socket in sockets)
        ]
        assert len(workers) == 2
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive  # a one-shot session leaves nobody behind
    assert not any(socket.exists() for socket in sockets)


def test_an_idle_worker_leaves(workspace: Workspace, tmp_path: Path) -> None:
    model = make_model(tmp_path / "tiny")
    spec = {
        "base": str(model),
        "label": "tiny",
        "quantization": None,
        "double_quantization": False,
        "dtype": "float32",
        "threads": 1,
        "device_lock": str(workspace.root / "device.lock"),
        "idle_seconds": 0.5,
    }
    path = link.socket_path(workspace.sockets, "engine.chat.worker", spec)
    launch = Launch("engine.chat.worker", "tiny", spec, path, workspace.logs / "tiny.log")
    idle = Link.open(launch, keep=True)
    with pytest.raises(WorkerDied):
        while True:
            list(idle.receive(timeout=60))


@pytest.mark.parametrize("content", [b"\x08" + bytes(7) + b"{}      ", b"not weights at all"])
def test_weights_that_are_not_there_are_never_made_up(
    cat: Catalogue, tmp_path: Path, content: bytes
) -> None:
    model = make_model(tmp_path / "tiny")
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(WorkbenchError, match="tiny"):
        ChatSession.open(cat, [str(model)], keep=False)


def test_long_workspaces_get_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    path = link.socket_path(deep, "m", {"a": 1})
    assert len(os.fsencode(path)) <= link.MAX_SOCKET_PATH
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path == link.socket_path(deep, "m", {"a": 1})
    assert path.name != link.socket_path(deep, "m", {"a": 2}).name
    path.parent.chmod(0o755)
    with pytest.raises(Conflict, match="0700"):
        link.socket_path(deep, "m", {"a": 1})
    path.parent.rmdir()
