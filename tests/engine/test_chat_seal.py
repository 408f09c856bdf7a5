"""Seals in-process: what is sound is sealed, and every way to break a column is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from engine.chat import generate
from engine.chat.base import BASE, MOST_ADAPTERS, Base
from engine.chat.protocol import Ask, AskRow, Attach, Done, Failed, Seat
from engine.chat.seal import Sealer
from engine.chat.worker import ChatBackend
from engine.data.rows import Turn
from store.errors import BadInput, Unsupported, WorkerDied
from tests.engine.chat_fixtures import make_adapter, make_model

PROBE = [0, 4, 77, 133, 2, 5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def adapters(folder: Path) -> list[Path]:
    """Two LoRAs and a DoRA."""
    return [make_adapter(folder, folder.parent / f"a{n}", seed=n, dora=n == 3) for n in (1, 2, 3)]


class _House:
    """A base, its sealer, and three adapters on it."""

    def __init__(self, folder: Path, adapters: list[Path], quantization: str | None = None) -> None:
        self.base = Base(
            folder,
            quantization=quantization,
            double_quantization=False,
            dtype="float32",
            device="cpu",
        )
        self.sealer = Sealer(self.base, PROBE)
        self.names = [BASE, *(self.base.attach(adapter) for adapter in adapters)]

    def details(self, names: list[str] | None = None) -> list[str]:
        """What is wrong with each column, or nothing."""
        return ["" if s.ok else s.detail for s in self.sealer.seal(names or self.names)]


@pytest.fixture
def house(folder: Path, adapters: list[Path]) -> _House:
    found = _House(folder, adapters)
    assert found.details() == [""] * 4
    return found


@pytest.mark.parametrize("quantization", [None, "nf4"])
@pytest.mark.parametrize("half", [False, True])
def test_sound_columns_are_sealed_in_every_precision(
    folder: Path,
    adapters: list[Path],
    quantization: str | None,
    half: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if half:
        monkeypatch.setattr("engine.chat.base.BF16_PARAMETERS", 0)
        monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    house = _House(folder, adapters, quantization)
    assert house.base.dtype == (torch.bfloat16 if half else torch.float32)
    assert house.details() == [""] * 4
    assert house.details([house.names[3]]) == [""]  # DoRA by itself
    assert [bool(house.base.alone(name)) for name in house.names] == [False, False, False, True]
    assert "DoRA" in house.base.alone(house.names[3])


def _weights(house: _House, _: pytest.MonkeyPatch) -> None:
    """As a merge by hand into the live base would."""
    with torch.no_grad():
        house.base.model.model.layers[0].self_attn.q_proj.base_layer.weight += 1e-3


def _merged(house: _House, _: pytest.MonkeyPatch) -> None:
    house.base._tuned.merge_adapter([house.names[1]])


def _active(house: _House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter that is not switched off where the base speaks."""
    house.base._tuned.set_adapter(house.names[1])
    monkeypatch.setattr(house.base._tuned.base_model, "disable_adapter_layers", lambda: None)


class _Stale(DynamicCache):  # type: ignore[misc]
    """Keys and values of an earlier prompt of the same length."""

    def update(self, keys: Any, values: Any, *more: Any, **named: Any) -> Any:
        if keys.shape[-2] > 1:
            keys, values = keys.flip(-2), values.flip(-2)
        return super().update(keys, values, *more, **named)


def _stale(_: _House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "DynamicCache", _Stale)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (_weights, "the base in memory is not the base any more"),
        (_merged, "an adapter is merged into the base"),
        (_active, "the base in memory is not the base any more"),
        (_stale, "the base in memory is not the base any more"),
    ],
)
def test_a_base_that_is_not_the_base_seals_nothing(
    house: _House,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[_House, pytest.MonkeyPatch], None],
    told: str,
) -> None:
    broken(house, monkeypatch)
    assert all(told in detail for detail in house.details())
    # Also where the base is no column, and where adapters are answered one after the other.
    assert told in house.details([house.names[2]])[0]
    assert told in house.details([house.names[3]])[0]


def test_cached_decoding_must_equal_a_fresh_forward_pass(
    folder: Path, adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "DynamicCache", _Stale)  # from the beginning: nothing is known
    house = _House(folder, adapters)
    assert all("does not answer as it does without a cache" in told for told in house.details())


def test_an_adapter_that_is_not_its_file_is_refused_alone(house: _House) -> None:
    layer = house.base.model.model.layers[0].self_attn.q_proj
    with torch.no_grad():
        layer.lora_A[house.names[1]].weight[0, 0] += 1
    details = house.details()
    assert "in memory is not what" in details[1]
    assert [details[0], *details[2:]] == [""] * 3
    with torch.no_grad():
        layer.lora_A[house.names[1]].weight[0, 0] -= 1
    layer.scaling[house.names[2]] *= 2  # left over from another strength
    assert "it is not what it is by itself" in house.details()[2]


def test_rows_that_are_mixed_up_are_refused(house: _House, monkeypatch: pytest.MonkeyPatch) -> None:
    route = house.base.rows

    def swapped(names: list[str]) -> Any:
        return route([house.names[1] if name == house.names[2] else name for name in names])

    monkeypatch.setattr(house.base, "rows", swapped)
    assert house.details()[:2] == ["", ""]
    assert "it is not what it is by itself" in house.details()[2]
    monkeypatch.setattr(house.base, "rows", lambda names: route(names[::-1]))
    assert "beside it the base is not the base" in house.details([house.names[1]])[0]


def test_an_adapter_that_learned_nothing_is_no_column(house: _House, tmp_path: Path) -> None:
    idle = house.base.attach(make_adapter(house.base.folder, tmp_path / "idle", scale=0))
    assert "it cannot be told from the base" in house.details([BASE, idle])[1]


def test_a_failed_forward_pass_leaves_no_adapter_behind(house: _House) -> None:
    with pytest.raises(RuntimeError, match="out of memory"), house.base.rows(house.names[:3]):
        raise RuntimeError("out of memory")
    assert house.details() == [""] * 4


def test_strength_is_between_base_and_adapter(house: _House, adapters: list[Path]) -> None:
    ids = torch.tensor([PROBE])

    def said(name: str) -> torch.Tensor:
        with torch.inference_mode(), house.base.rows([name]):
            logits: torch.Tensor = house.base.model(input_ids=ids).logits
        return logits

    half, faint = (house.base.attach(adapters[0], strength) for strength in (0.5, 1e-3))
    assert house.details([BASE, house.names[1], half, faint]) == [""] * 4
    away = [float((said(name) - said(BASE)).abs().max()) for name in (faint, half, house.names[1])]
    assert 0 < away[0] < away[1]
    assert away[0] < away[2] / 100
    with pytest.raises(Unsupported, match="DoRA"):
        house.base.attach(adapters[2], 0.5)


def test_an_adapter_for_another_base_is_named(house: _House, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", hidden=128)
    with pytest.raises(BadInput, match=f"does not fit .*: it was trained on {other}"):
        house.base.attach(make_adapter(other, tmp_path / "adapter"))


class _Worker(ChatBackend):
    """A worker without its process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            {
                "base": str(folder),
                "label": "tiny",
                "quantization": None,
                "double_quantization": False,
                "dtype": "float32",
                "threads": 1,
                "device_lock": str(folder / "device.lock"),
            }
        )
        self.open(lambda *_: None)

    def said(self, request: Any) -> list[Any]:
        """Everything it answers to a request."""
        told: list[Any] = []
        with suppress(WorkerDied):
            for _ in self.handle(request, lambda *messages: told.extend(messages), lambda: False):
                pass
        return told


def test_a_run_of_many_checkpoints_does_not_fill_the_memory(
    folder: Path, adapters: list[Path]
) -> None:
    worker = _Worker(folder)
    seats = [Seat(f"a*{n}", str(adapters[0]), n / 10) for n in range(1, 21)]
    for number, seat in enumerate(seats):  # one after the other, as the time machine does
        [seal] = worker.said(Attach(number, (seat,)))
        assert seal.ok
    held = set(worker.base._tuned.peft_config)
    assert len(held) == MOST_ADAPTERS
    # One that was let go is still asked by another window: it is loaded and proved again.
    rows = (AskRow(0, seats[0].model, (Turn("user", "sky"),)),)
    assert any(isinstance(one, Done) for one in worker.said(Ask(50, rows, 2)))
    assert len(set(worker.base._tuned.peft_config) - held) == 1
    assert all(seal.ok for seal in worker.said(Attach(51, tuple(seats))))


def test_a_worker_seals_anew_at_every_attaching(folder: Path, adapters: list[Path]) -> None:
    worker = _Worker(folder)
    said = worker.said
    seats = (Seat("base", None), Seat("tuned", str(adapters[0])))
    rows = tuple(AskRow(n, seat.model, (Turn("user", "sky"),)) for n, seat in enumerate(seats))
    assert [seal.ok for seal in said(Attach(1, seats))] == [True, True]
    assert sum(isinstance(one, Done) for one in said(Ask(2, rows, 2))) == 2
    with torch.no_grad():
        worker.base.model.lm_head.weight[3] += 0.01
    # The same session goes on unsealed until a model changes; then nothing is answered any more.
    assert [seal.ok for seal in said(Attach(3, seats))] == [False, False]
    told = said(Ask(4, rows, 2))
    assert [one.column for one in told if isinstance(one, Failed)] == [0, 1]
    assert not any(isinstance(one, Done) for one in told)


def test_windows_take_turns_in_the_middle_of_an_answer(
    folder: Path, adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = _Worker(folder)
    seats = (Seat("base", None), Seat("one", str(adapters[0])), Seat("dora", str(adapters[2])))
    worker.said(Attach(1, seats))

    def ask(number: int, words: str) -> Ask:
        rows = tuple(AskRow(n, s.model, (Turn("user", words),)) for n, s in enumerate(seats))
        return Ask(number, rows, 24, 1.2, seed=number)

    def ids(told: list[Any]) -> dict[int, list[int]]:
        return {one.column: one.ids for one in told if isinstance(one, Done)}

    expected = [ids(worker.said(ask(2, "sky"))), ids(worker.said(ask(3, "is it the air?")))]
    monkeypatch.setattr(generate, "TURN_SECONDS", 0.0)
    told: list[list[Any]] = [[], []]
    answers = [
        worker.handle(ask(2, "sky"), lambda *said: told[0].extend(said), lambda: False),
        worker.handle(ask(3, "is it the air?"), lambda *said: told[1].extend(said), lambda: False),
    ]
    turns = 0
    while answers:
        answers = [one for one in answers if next(one, "ended") is None]
        turns += 1
        if turns in (3, 30):  # meanwhile a third window steps through far too many checkpoints
            more = [Seat(f"*{n}", str(adapters[1]), n / 10 + turns / 100) for n in range(1, 20)]
            assert all(seal.ok for seal in worker.said(Attach(9, tuple(more))))
    assert turns > 20
    assert [ids(one) for one in told] == expected
