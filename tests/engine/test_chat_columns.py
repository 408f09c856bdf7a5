"""Columns of every kind side by side, and windows beside windows, on real workers."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.chat.client import ChatSession, Sampling, free_device
from engine.chat.link import socket_path
from engine.chat.protocol import AskRow, Delta, Done, Event, Failed, Loading, Sealed, Started
from engine.data.rows import Turn
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.workspace import Workspace
from tests.engine.chat_fixtures import TEMPLATE, add_run, make_adapter, make_gguf, make_model

QUESTION = (Turn("user", "why is the sky blue?"),)
OTHER = (Turn("user", "is it the air? it is the air, is it?"),)
WARM = Sampling(24, 1.3, 0.98, 7, top_k=50, min_p=0.01, repetition_penalty=1.1)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A model, its GGUF, and run 1 on it: two LoRA checkpoints and (step 3) a DoRA."""
    root = tmp_path_factory.mktemp("house")
    model = make_model(root / "tiny")
    make_gguf(model, root / "tiny.gguf")
    made = {n: make_adapter(model, root / f"a{n}", seed=n, dora=n == 3) for n in (1, 2, 3)}
    with Catalogue.open(Workspace(root / "ws")) as cat:
        assert add_run(cat, str(model), made) == "run:1"
        yield cat
        workers = _workers(cat)
        free_device(cat.workspace)
        psutil.wait_procs(workers, timeout=30)


def _workers(house: Catalogue) -> list[psutil.Process]:
    folder = str(socket_path(house.workspace.sockets, "", {}).parent)
    return [p for p in psutil.process_iter(["cmdline"]) if folder in str(p.info["cmdline"])]


def _file(house: Catalogue, name: str) -> str:
    return str(house.workspace.root.parent / name)


def _done(events: Iterator[Event]) -> dict[int, Done]:
    return {event.column: event for event in events if isinstance(event, Done)}


def test_four_kinds_of_columns_stream_at_once_and_are_what_they_say(house: Catalogue) -> None:
    refs = [_file(house, "tiny"), "run:1@2*0.5", "run:1@3", _file(house, "tiny.gguf")]
    heard: list[Any] = []
    with ChatSession.open(house, refs, keep=True, on_event=heard.append) as session:
        assert [model.ref for model in session.models] == refs
        seals = {event.model: event for event in heard if isinstance(event, Sealed)}
        assert all(seal.ok for seal in seals.values())
        assert [seals[ref].alone for ref in refs] == [False, False, True, False]
        assert "after the others" in seals["run:1@3"].detail
        events = list(session.ask(QUESTION, Sampling(32), likelihoods=True))
    done = _done(iter(events))
    assert len({tuple(done[column].ids) for column in range(3)}) == 3
    assert done[0].ids == done[3].ids  # torch and llama.cpp, the same weights in float32
    started = {e.column: e for e in events if isinstance(e, Started)}
    assert {e.context for e in started.values()} == {256}
    ends = {e.column: i for i, e in enumerate(events) if isinstance(e, Done)}
    begun = {e.column: i for i, e in reversed([*enumerate(events)]) if isinstance(e, Delta)}
    assert max(begun[0], begun[1]) < min(ends[0], ends[1])  # one batch
    assert max(begun[0], begun[3]) < ends[2]  # which of two processes is first nobody knows
    for column, answer in done.items():
        deltas = [e for e in events if isinstance(e, Delta) and e.column == column]
        assert "".join(e.text for e in deltas) == answer.text == "".join(answer.pieces or [])
        told = [piece for e in deltas for piece in e.pieces or []]
        assert told == (answer.pieces or [])[: len(told)]
        assert sum(e.tokens for e in deltas) == len(told)
        assert len(answer.logprobs or []) == len(answer.pieces or []) == answer.tokens
        assert all(-20 < one < 0 for one in answer.logprobs or [])
    pairs = zip(done[0].logprobs or [], done[3].logprobs or [], strict=True)
    assert all(math.isclose(ours, theirs, abs_tol=0.05) for ours, theirs in pairs)


def test_a_seed_repeats_an_answer_in_any_company(house: Catalogue) -> None:
    base, gguf = _file(house, "tiny"), _file(house, "tiny.gguf")
    refs = [base, "run:1@1", "run:1@2", "run:1@3", gguf]
    with ChatSession.open(house, refs, keep=True) as session:
        together = _done(session.ask(QUESTION, WARM))
        for column, ref in enumerate(refs):
            alone = _done(session.ask_rows([AskRow(0, ref, QUESTION)], WARM))
            assert alone[0].ids == together[column].ids
        crowd = [
            AskRow(n, refs[n % 3], QUESTION if n in (3, 7, 11) else OTHER * (n % 2 + 1))
            for n in range(12)
        ]
        among = _done(session.ask_rows(crowd, WARM))
        assert [among[n].ids for n in (3, 7, 11)] == [together[c].ids for c in (0, 1, 2)]
        again = _done(session.ask(QUESTION, replace(WARM, seed=8)))
        assert all(again[c].ids != together[c].ids for c in range(5))
        # Where only one token is left to draw from, it is the likeliest.
        for one in (replace(WARM, top_k=1), replace(WARM, min_p=1.0)):
            plain = replace(one, repetition_penalty=1.0)
            greedy = _done(session.ask(QUESTION, Sampling(24)))
            drawn = _done(session.ask(QUESTION, plain))
            assert [d.ids for _, d in sorted(drawn.items())] == [
                d.ids for _, d in sorted(greedy.items())
            ]


def test_two_windows_on_one_worker_get_their_own_answers(house: Catalogue) -> None:
    refs = [_file(house, "tiny"), "run:1@1"]
    long = replace(WARM, max_tokens=80, min_p=0.0)
    with (
        ChatSession.open(house, refs, keep=True) as one,
        ChatSession.open(house, ["run:1@2", *refs], keep=True) as two,
    ):
        assert one._launches[0].socket == two._launches[0].socket
        expected = _done(two.ask(OTHER, WARM))
        began, heard = threading.Event(), list[list[Event]]()

        def first() -> None:
            # Hundreds of rows: batch after batch, in between which others have their turn.
            rows = [AskRow(n, refs[n % 2], QUESTION) for n in range(96)]
            told: list[Event] = []
            for event in one.ask_rows(rows, long):
                told.append(event)
                began.set()
            heard.append(told)

        suite = threading.Thread(target=first)
        suite.start()
        assert began.wait(60)
        events = list(two.ask(OTHER, WARM))
        suite_was_running = suite.is_alive()
        suite.join(120)
    assert isinstance(events[0], Loading)
    assert events[0].text == "waiting for another window"
    assert suite_was_running
    assert {c: d.ids for c, d in _done(iter(events)).items()} == {
        c: d.ids for c, d in expected.items()
    }
    answers = _done(iter(heard[0]))
    assert len(answers) == 96
    assert len({tuple(answers[n].ids) for n in range(0, 96, 2)}) == 1


def test_half_an_answer_outlives_its_worker(house: Catalogue) -> None:
    with ChatSession.open(house, [_file(house, "tiny"), "run:1@1"], keep=True) as session:
        path = str(session._launches[0].socket)
        [worker] = [one for one in _workers(house) if path in str(one.info["cmdline"])]
        said: dict[int, list[Delta]] = {0: [], 1: []}
        failed: dict[int, Failed] = {}
        for event in session.ask(QUESTION, replace(WARM, max_tokens=200, temperature=50.0)):
            if isinstance(event, Delta):
                said[event.column].append(event)
                if all(said.values()):
                    worker.send_signal(signal.SIGKILL)
            elif isinstance(event, Failed) and event.column is not None:
                failed[event.column] = event
        assert set(failed) == {0, 1}
        for column, half in failed.items():
            assert half.died
            assert half.text == "".join(delta.text for delta in said[column]) != ""
            assert half.tokens == sum(delta.tokens for delta in said[column])
        assert len(_done(session.ask(QUESTION, Sampling(2)))) == 2


def test_what_does_not_fit_is_told_in_numbers_and_names(house: Catalogue, tmp_path: Path) -> None:
    refs = [_file(house, "tiny"), _file(house, "tiny.gguf")]
    with ChatSession.open(house, refs, keep=True) as session:
        rows = [AskRow(n, ref, (Turn("user", "sky " * 400),)) for n, ref in enumerate(refs)]
        told = [event for event in session.ask_rows(rows) if isinstance(event, Failed)]
    assert len(told) == 2
    assert all("holds 256" in event.message for event in told)
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    model = make_model(tmp_path / "strict", seed=3)
    (model / "chat_template.jinja").write_text(strict + TEMPLATE)
    with ChatSession.open(house, [str(model)], keep=True) as session:
        [event] = session.ask((Turn("system", "Be brief."), *QUESTION))
        assert isinstance(event, Failed)
        assert "(system user): no system" in event.message
        assert "leave that out" in event.hint


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("run:1@1*4.5", "up to 4"),
        ("starter*0.5", "only the adapter of a run"),
        ("run:1@3*0.5", "DoRA"),
    ],
)
def test_a_strength_that_cannot_be_is_refused(house: Catalogue, ref: str, words: str) -> None:
    with pytest.raises(WorkbenchError, match=words):
        ChatSession.open(house, [ref], keep=True)
