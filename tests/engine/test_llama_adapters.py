"""Adapters on one GGUF base: equal to PEFT, alone in their column, refused when they are none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from engine.chat import weighing
from engine.chat.client import ChatSession, Sampling, answer
from engine.chat.protocol import Done, Seat
from engine.data.rows import Turn
from engine.export.gguf.adapter import write_adapter_gguf
from engine.export.proof.divergence import Divergence
from engine.export.proof.reference import Reference
from engine.llama.adapters import Adapters
from engine.llama.client import LlamaWorker
from engine.llama.model import LlamaModel
from engine.models import refs
from engine.models.gguf import check_pair
from store.catalogue import Catalogue
from store.errors import BadInput, NotFound, WorkbenchError
from tests.engine.chat_fixtures import make_gguf, make_model
from tests.engine.export_models import random_adapter, source_of

IDS = [int(i) for i in np.random.default_rng(0).integers(3, 270, 200)]
SKY = (Turn("user", "why is the sky blue?"),)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"strength": 0.3},
    "rslora": {"use_rslora": True, "r": 8},
    "patterns": {
        "rank_pattern": {"q_proj": 8, r"layers\.1\.self_attn\.v_proj": 2},
        "alpha_pattern": {"k_proj": 1, "down_proj": 32},
    },
    "ends": {"target_modules": ["embed_tokens", "lm_head", "o_proj"], "strength": 0.05},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def base(folder: Path) -> Path:
    return make_gguf(folder, folder.parent / "tiny.gguf")


def write(folder: Path, adapter: Path) -> Path:
    """The adapter as GGUF beside itself."""
    target = adapter.with_suffix(".gguf")
    write_adapter_gguf(source_of(folder, adapter), target, notes={}, on_progress=_ignore)
    return target


def _ignore(_done: int, _total: int) -> None:
    """Progress is looked at elsewhere."""


@pytest.fixture(scope="module")
def adapters(folder: Path) -> dict[str, Path]:
    """Every kind as PEFT has it; its GGUF lies beside it."""
    made = {
        kind: random_adapter(folder, folder.parent / kind, **settings)
        for kind, settings in KINDS.items()
    }
    for adapter in made.values():
        write(folder, adapter)
    return made


@pytest.fixture(scope="module")
def llama(base: Path, adapters: dict[str, Path]) -> Iterator[LlamaWorker]:
    with LlamaWorker.open(base, base.parent / "llama.log") as worker:
        for kind, adapter in adapters.items():
            worker.attach(kind, adapter.with_suffix(".gguf"))
        yield worker


def kl(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    gathered = Divergence()
    gathered.add(expected, found, IDS, [0] * len(IDS))
    return gathered.numbers()["kl_mean"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_peft_has(
    kind: str, llama: LlamaWorker, folder: Path, adapters: dict[str, Path]
) -> None:
    trained = Reference(source_of(folder, adapters[kind]))
    expected = trained.logits(IDS)
    assert kl(expected, llama.logits([IDS], model=kind)) < 1e-8
    assert kl(expected, trained.logits(IDS, base=True)) > 0.05
    assert kl(trained.logits(IDS, base=True), llama.logits([IDS])) < 1e-8


def test_taking_turns_changes_nothing(
    llama: LlamaWorker, base: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    order = ("plain", "rslora", "", "plain", "rslora")
    told = [llama.logits([IDS], model=kind) for kind in order]
    for at, kind in enumerate(order[:2]):
        with LlamaWorker.open(base, tmp_path / "alone.log") as worker:
            worker.attach(kind, adapters[kind].with_suffix(".gguf"))
            alone = worker.logits([IDS], model=kind)
        assert np.array_equal(told[at], alone)
        assert np.array_equal(told[at + 3], alone)
    with LlamaWorker.open(base, tmp_path / "base.log") as worker:
        assert np.array_equal(told[2], worker.logits([IDS]))


def opened(base: Path) -> LlamaModel:
    return LlamaModel(base, context=0, limit=512, threads=1, exact=True, gpu_layers=0)


def test_a_switch_empties_the_cache(
    base: Path, adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(base)
    plain = adapters["plain"].with_suffix(".gguf")
    adapter = model.read_adapter(plain)
    alone = model.prompt(IDS)
    model.wear(adapter, 0.0)
    assert np.array_equal(model.prompt(IDS), alone)
    model.wear(adapter)
    right = model.prompt(IDS)
    assert not np.allclose(right, alone, atol=0.1)
    sealer = Adapters(model)
    seats = [Seat("base", None), Seat("plain", str(plain))]
    assert [seal.ok for _, seal in sealer.attach(seats)] == [True, True]

    def careless(adapter: Any, strength: float = 1.0) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(model, "forget", lambda: None)
            LlamaModel.wear(model, adapter, strength)

    monkeypatch.setattr(model, "wear", careless)
    model.forget()
    model.wear(None)
    model.prompt(IDS)
    model.wear(adapter)
    assert not np.allclose(model.prompt(IDS), right, atol=0.1)
    assert not any(seal.ok for _, seal in sealer.attach(seats))


def test_each_goes_on_from_its_own_cache(
    base: Path, adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(base)
    columns = Adapters(model)
    names = {"base": None, **{k: str(adapters[k].with_suffix(".gguf")) for k in ("plain", "ends")}}
    seats = [Seat(name, path) for name, path in names.items()]
    assert all(seal.ok for _, seal in columns.attach(seats))
    alone = {}
    for name in names:
        columns.wear(name)
        model.forget()
        model.prompt(IDS[:100])
        alone[name] = model.prompt(IDS[:120])
    read: list[int] = []
    decode = model._decode
    for name in names:
        columns.wear(name)
        model.forget()
        model.prompt(IDS[:100])
    assert all(seal.ok for _, seal in columns.attach(seats))  # another window's, in between

    def counted(ids: Sequence[int], *, every: bool) -> None:
        read.append(len(ids))
        decode(ids, every=every)

    monkeypatch.setattr(model, "_decode", counted)
    for name in names:
        columns.wear(name)
        assert np.array_equal(model.prompt(IDS[:120]), alone[name])
    assert read == [20, 20, 20]


def test_columns_share_a_worker_and_say_what_each_says_alone(
    cat: Catalogue, base: Path, adapters: dict[str, Path]
) -> None:
    plain, rslora = (adapters[kind].with_suffix(".gguf") for kind in ("plain", "rslora"))
    names = [str(base), f"{base}+{plain}", f"{base}+{rslora}", f"{base}+{plain}*0.5"]
    greedy = Sampling(max_tokens=12)
    alone = []
    for name in names:
        with ChatSession.open(cat, [name], keep=False) as session:
            alone.append(_ids(answer(session, [SKY], greedy)[0]))
    seals: list[str] = []
    with ChatSession.open(
        cat, names, keep=False, on_event=lambda event: seals.append(str(event))
    ) as session:
        assert len(session._links) == 1
        assert [model.ref for model in session.models] == names
        twice = [_ids(row) for row in answer(session, [SKY, SKY], greedy)]
    assert twice == [[ids for (ids,) in alone]] * 2
    assert len({tuple(ids) for ids in twice[0]}) == 4
    assert any("moves the answers by" in seal for seal in seals)


def _ids(answers: Any) -> list[list[int]]:
    assert all(isinstance(done, Done) for done in answers), answers
    return [done.ids for done in answers]


def test_a_strength_and_names_with_a_plus(
    cat: Catalogue, base: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    plain = adapters["plain"].with_suffix(".gguf")
    odd = shutil.copy(base, tmp_path / "a.gguf+b.gguf")
    assert refs.resolve(cat, str(odd)).gguf == odd
    found = refs.resolve(cat, f"{odd}+{plain}*0.5")
    assert (found.gguf, found.adapter, found.strength) == (odd, plain, 0.5)
    assert found.label == "a.gguf+b.gguf+plain.gguf*0.5"
    assert refs.resolve(cat, found.ref) == found


def test_what_cannot_be_a_pair_is_refused_in_words(
    cat: Catalogue, base: Path, adapters: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    plain = adapters["plain"].with_suffix(".gguf")
    raw = plain.read_bytes()
    other = tmp_path / "other.gguf"
    other.write_bytes(raw.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0qwen3", 1))
    text = tmp_path / "text.gguf"
    text.write_text("hello")
    for ref, error, words in (
        (f"{base}+{tmp_path / 'none.gguf'}", NotFound, "no file .*none.gguf"),
        (f"{tmp_path / 'none.gguf'}+{plain}", NotFound, "no file .*none.gguf"),
        (f"{base}+{base}", BadInput, "is not an adapter .key general.type: nothing"),
        (f"{base}+{text}", BadInput, "is not an adapter"),
        (f"{plain}+{plain}", BadInput, "is not a model .key general.type: adapter"),
        (f"{base}+{other}", BadInput, "architecture qwen3, and tiny.gguf is llama"),
        (str(plain), BadInput, "answers only on a base"),
        (f"{base}*0.5", BadInput, "has a strength"),
        (f"{base}+{plain}*0", BadInput, "over 0"),
    ):
        with pytest.raises(error, match=words):
            refs.resolve(cat, ref)

    cut = tmp_path / "cut.gguf"
    cut.write_bytes(raw[:-5000])
    wide = make_model(tmp_path / "wide", hidden=128)
    wrong = write(wide, random_adapter(wide, tmp_path / "wrong"))
    rest = write(folder, random_adapter(folder, tmp_path / "rest", strength=0.0))
    for adapter, words in (
        (cut, "cannot use this adapter: .*corrupted or incomplete"),
        (wrong, "cannot use this adapter: .*incorrect shape"),
        (rest, "cannot be told from the base"),
    ):
        with pytest.raises(WorkbenchError, match=words):
            ChatSession.open(cat, [str(base), f"{base}+{adapter}"], keep=False)


def head(path: Path, kind: str, **words: str) -> Path:
    """A file with keys alone, which is as far as a reference is looked at."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(kind)
    for key, value in words.items():
        writer.add_string(f"workbench.{key}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_of_our_own_files_the_weights_are_compared_too(tmp_path: Path) -> None:
    adapter = head(tmp_path / "a", "adapter", base="one", base_sha256="11", adapter_sha256="aa")
    right = head(tmp_path / "right", "model", base="one", base_sha256="11")
    other = head(tmp_path / "other", "model", base="\x1b[2Jtwo", base_sha256="22")
    merged = head(tmp_path / "merged", "model", base_sha256="11", adapter_sha256="aa")
    trained_on = head(tmp_path / "on", "model", base_sha256="33", adapter_sha256="bb")
    for base in (right, trained_on):
        check_pair(base, adapter)
    with pytest.raises(BadInput, match=r"weights of one \(11\), and other holds") as wrong:
        check_pair(other, adapter)
    assert "\x1b" not in wrong.value.message
    with pytest.raises(BadInput, match="put on twice"):
        check_pair(merged, adapter)


def test_an_adapter_that_is_written_anew_is_seated_anew(
    base: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "a.gguf"
    shutil.copy(adapters["plain"].with_suffix(".gguf"), target)
    with LlamaWorker.open(base, tmp_path / "log") as worker:
        worker.attach("a", target)
        first = worker.logits([IDS[:20]], model="a")
        target.unlink()
        shutil.copy(adapters["rslora"].with_suffix(".gguf"), target)
        assert np.array_equal(worker.logits([IDS[:20]], model="a"), first)  # as it was seated
        worker.attach("a", target)
        assert not np.allclose(worker.logits([IDS[:20]], model="a"), first, atol=0.1)
        with pytest.raises(WorkbenchError, match="not attached here"):
            worker.logits([IDS], model="b")
        with pytest.raises(WorkbenchError, match="No such file"):
            worker.attach("c", tmp_path / "none.gguf")


def test_a_file_is_counted_for_by_the_worker_that_would_answer(
    cat: Catalogue, base: Path, adapters: dict[str, Path]
) -> None:
    pair = f"{base}+{adapters['plain'].with_suffix('.gguf')}"
    asks = [(str(base), SKY), (pair, SKY), (pair, (Turn("user", "word " * 400),))]
    assert weighing.weigh(cat, asks) == [None, None, None]  # nobody is started for it
    with ChatSession.open(cat, [pair], keep=False):
        short, same, long = weighing.weigh(cat, asks)
    assert short is not None and same is not None and long is not None
    assert (short.tokens, short.context, short.fits) == (same.tokens, 256, True)
    assert not long.fits
    with pytest.raises(BadInput, match=r"tiny.gguf.*: the conversation has 2,\d+ tokens; .* 256"):
        weighing.refuse_long([long])
