"""llama.cpp in its child: equal to transformers on the same weights, and survived when it dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from engine.chat import link, protocol
from engine.chat.client import ChatSession, Sampling
from engine.chat.protocol import Done, Failed, Started
from engine.data.rows import Turn
from engine.llama import client
from engine.llama.client import LlamaWorker
from engine.render.renderer import Renderer
from store.catalogue import Catalogue
from store.errors import NotFound, WorkbenchError, WorkerDied
from tests.engine.chat_fixtures import make_gguf, make_model
from tests.engine.hostile_gguf import rewritten

CHAT = (Turn("system", "be kind"), Turn("user", "why is the sky blue?"))
TEXTS = ["why is the sky blue?", "<|user|>héllo ☃\t 12345  x", "", "it's\n\nHER'S", "naïve <|end|>"]

_FAR = 2**32 - 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def gguf(folder: Path) -> Path:
    return make_gguf(folder, folder.parent / "tiny.gguf")


@pytest.fixture(scope="module")
def llama(gguf: Path) -> Iterator[LlamaWorker]:
    with LlamaWorker.open(gguf, gguf.parent / "llama.log") as worker:
        yield worker


def test_tokens_template_and_ends_are_the_folders(llama: LlamaWorker, folder: Path) -> None:
    renderer = Renderer.load(folder)
    assert llama.tokenize(TEXTS) == [renderer.encode(text) for text in TEXTS]
    assert llama.tokenize(["sky"], add_bos=True)[0][0] == renderer.bos_id
    rendered = renderer.render(CHAT, generation_prompt=True)
    assert llama.render([CHAT], generation_prompt=True) == [rendered.text]
    assert llama.is_eog([0, 1, 2, 3, 277]) == [False, False, True, False, False]
    told = llama.describe()
    assert told.metadata["general.architecture"] == "llama"
    assert told.template == renderer.template_source
    assert (told.bos, told.eos, told.vocabulary) == (0, 2, renderer.vocabulary_size)


def test_more_texts_than_one_line_holds(
    llama: LlamaWorker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the held-out rows of a run on whole books are."""
    monkeypatch.setattr(protocol, "MAX_LINE", 2_000)
    monkeypatch.setattr(client, "_AT_ONCE", 200)
    texts = [f"why is the sky blue, {number}?" for number in range(200)] + ["sky " * 100]
    renderer = Renderer.load(folder)
    assert llama.tokenize(texts) == [renderer.encode(text) for text in texts]
    assert llama.tokenize([]) == []


def test_logits_equal_transformers(llama: LlamaWorker, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    sequences = [[0, *llama.tokenize([text])[0]] for text in TEXTS]
    sequences.append([int(i) for i in np.random.default_rng(0).integers(0, 250, 240)])
    found = llama.logits(sequences)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        expected = torch.cat([model(torch.tensor([ids])).logits[0] for ids in sequences])
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.allclose(found, expected.numpy(), atol=2e-3)


def test_a_disk_that_takes_no_logits(llama: LlamaWorker) -> None:
    """It is said, and the worker lives: a process that maps such a file dies of it."""
    (llama._folder / "logits.npy").symlink_to("/dev/full")
    with pytest.raises(WorkbenchError, match="no room for 0 MB"):
        llama.logits([[1, 2, 3]])
    (llama._folder / "logits.npy").unlink()
    assert llama.logits([[1, 2, 3]]).shape[0] == 3


def test_answers_are_transformers_greedy_answers(llama: LlamaWorker, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    renderer = Renderer.load(folder)
    chats = [CHAT, (Turn("user", "sky"),), (*CHAT, Turn("assistant", "air"), Turn("user", "and?"))]
    for chat, told in zip(chats, llama.ask(chats, max_tokens=20), strict=True):
        ids = torch.tensor([renderer.render(chat, generation_prompt=True).ids])
        with torch.inference_mode():
            out = model.generate(input_ids=ids, do_sample=False, max_new_tokens=20)
        assert told.ids == [int(token) for token in out[0, ids.shape[1] :]]
        assert told.stop == ("turn end" if told.ids[-1] == 2 else "length")
    warm = [llama.ask([CHAT], temperature=1.0, seed=seed)[0].ids for seed in (1, 1, 2)]
    assert warm[0] == warm[1] != warm[2]


def test_what_llama_cpp_says_goes_to_the_log_alone(
    gguf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loud = make_gguf(
        gguf.parent / "tiny", tmp_path / "loud.gguf", template="\x1b]0;owned\x07{{ messages }}"
    )
    capfd.readouterr()
    log = tmp_path / "loud.log"
    with LlamaWorker.open(loud, log) as worker:
        assert worker.describe().template == "\x1b]0;owned\x07{{ messages }}"
    assert capfd.readouterr() == ("", "")
    assert "llama_model_loader" in log.read_text()
    assert "\x1b" not in log.read_text()


def test_too_long_and_out_of_range_are_told(llama: LlamaWorker) -> None:
    with pytest.raises(WorkbenchError, match="do not fit into a context of 256"):
        llama.logits([[0] * 300])
    with pytest.raises(WorkbenchError, match="outside the vocabulary"):
        llama.logits([[0, 280]])
    with pytest.raises(WorkbenchError, match="tokens"):
        llama.ask([(Turn("user", "word " * 400),)])
    assert llama.is_eog([2]) == [True]


def test_hostile_files_cost_the_child_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(WorkbenchError, match=r"bad\.gguf: llama\.cpp cannot load this file: .+"):
        LlamaWorker.open(tmp_path / "bad.gguf", tmp_path / "bad.log")
    abort = make_gguf(folder, tmp_path / "abort.gguf", block_count=1000)
    with pytest.raises(WorkerDied) as died:
        LlamaWorker.open(abort, tmp_path / "abort.log")
    assert str(tmp_path / "abort.log") in died.value.hint
    assert died.value.message.startswith("abort.gguf: llama.cpp gives up on it: not so")
    rewritten(abort, tmp_path / "far.gguf", {"llama.block_count": 2, "llama.context_length": _FAR})
    with pytest.raises(WorkbenchError, match=f"key llama.context_length is {_FAR}"):
        LlamaWorker.open(tmp_path / "far.gguf", tmp_path / "far.log")
    with pytest.raises(NotFound):
        LlamaWorker.open(tmp_path / "none.gguf", tmp_path / "none.log")
    locked = make_gguf(folder, tmp_path / "ssti.gguf", template="{{ ''.__class__.__mro__ }}")
    with LlamaWorker.open(locked, tmp_path / "ssti.log") as worker:
        with pytest.raises(WorkbenchError, match="template refuses"):
            worker.render([CHAT])
        assert worker.is_eog([2]) == [True]


def test_a_file_that_ends_the_child_before_it_was_reached_is_told_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_try", lambda _: None)
    abort = make_gguf(folder, tmp_path / "abort.gguf", block_count=1000)
    with pytest.raises(WorkerDied, match=r"^abort\.gguf: llama\.cpp gives up on it: not so"):
        LlamaWorker.open(abort, tmp_path / "abort.log")


def test_a_closed_worker_is_gone(gguf: Path, tmp_path: Path) -> None:
    with LlamaWorker.open(gguf, tmp_path / "x.log") as worker:
        mark = str(worker._folder)
        mine = [p for p in psutil.process_iter(["cmdline"]) if mark in str(p.info["cmdline"])]
        assert len(mine) == 1
    assert not psutil.wait_procs(mine, timeout=30)[1]
    assert not Path(mark).exists()


@pytest.mark.parametrize("add_bos", [True, False])
@pytest.mark.parametrize("template_bos", [True, False])
def test_a_chat_prompt_begins_once(
    cat: Catalogue, folder: Path, tmp_path: Path, add_bos: bool, template_bos: bool
) -> None:
    template = ("{{ bos_token }}" if template_bos else "") + "{{ messages[0]['content'] }}"
    path = make_gguf(folder, tmp_path / "chat.gguf", add_bos=add_bos, template=template)
    with ChatSession.open(cat, [str(path)], keep=False) as session:
        events = list(session.ask([Turn("user", "sky")], Sampling(max_tokens=2)))
    assert not [e for e in events if isinstance(e, Failed)]
    prompt = next(e.prompt_ids for e in events if isinstance(e, Started))
    assert prompt.count(0) == (1 if add_bos or template_bos else 0)
    assert [e.stop for e in events if isinstance(e, Done)]
