"""Numbers of a step that arrive late are written a step later, in order, and none is lost."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch

from engine.train.telling import Telling, _Noted


class Late:
    """An event of a device that is never done until it is waited for."""

    def query(self) -> bool:
        return False

    def synchronize(self) -> None:
        return


def test_steps_are_written_one_later_and_all_of_them_at_the_end() -> None:
    written: list[tuple[int, dict[str, float]]] = []

    class Recorder:
        def step(self, step: int, _epoch: float, logs: dict[str, float], _memory: Any) -> None:
            written.append((step, logs))

    class Parts:
        recorder = Recorder()

    telling = Telling()
    telling.ours = Parts()  # type: ignore[assignment]
    telling._noted = deque()
    for step in (1, 2, 3):
        values = torch.tensor([step, 0.5, 8.0, 2.0, 4.0, 10.0], dtype=torch.float64)
        telling._noted.append(_Noted(step, 0.1, 1e-3, values, Late(), {}, None))
        telling._write(everything=False)
        assert [done for done, _ in written] == list(range(1, step))
    telling._write(everything=True)
    assert [done for done, _ in written] == [1, 2, 3]
    assert [logs["num_tokens"] for _, logs in written] == [10.0, 20.0, 30.0]
    assert written[-1][1]["loss"] == 3.0
    assert written[-1][1]["entropy"] == 2.0 and written[-1][1]["mean_token_accuracy"] == 0.5
