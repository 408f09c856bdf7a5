"""What a job has said so far, and how it says more.

Knows stages and when progress is worth a message. Does not know what is being done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from engine.export.stages import Stage, Target

_PROGRESS_SECONDS = 0.1


class Teller:
    """The decided stages of a job, those of all its files and those of each.

    Args:
        say: hears every stage, while it runs and when it is decided.
    """

    def __init__(self, targets: Sequence[Target], say: Callable[[Stage], None]) -> None:
        self.say = say
        self._shared: list[Stage] = []
        self._own: dict[str, list[Stage]] = {target.type: [] for target in targets}
        self._told = 0.0

    def decide(self, stage: Stage) -> None:
        """Keep a stage and say it."""
        (self._own[stage.of] if stage.of else self._shared).append(stage)
        self.say(stage)

    def keep(self, type_name: str, stages: Sequence[Stage]) -> None:
        """Keep what was said of a file already."""
        self._own[type_name] += stages

    def stages(self, type_name: str) -> list[Stage]:
        """What was decided of a file: first what is about all of them."""
        return [*self._shared, *self._own[type_name]]

    def progress(self, stage: str, of: str = "") -> Callable[[int, int], None]:
        """What hears tensors done and tensors in all, and says so now and then."""

        def hear(done: int, total: int) -> None:
            if done < total and time.monotonic() - self._told < _PROGRESS_SECONDS:
                return
            self._told = time.monotonic()
            numbers = {"done": float(done), "total": float(total)}
            self.say(Stage(stage, "running", f"{done} of {total} tensors", numbers, of))

        return hear
