"""(heavy) The proof that every column is what it says, made anew whenever models take their seats.

Knows what a plain base and every adapter answer to one short prompt, read in one forward pass
without a cache: of the base when it was loaded, before any adapter was there. To seal is to ask
the same through the very loop that answers people (`generate`), one batch with a row for every
column, and to compare. It finds an adapter that was left active or merged, weights that changed
in memory, an adapter that is not its file, and keys and values that are another prompt's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from engine.chat.base import BASE, Base
from engine.chat.generate import Batch, Generation
from engine.chat.sampling import Sampler

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""How far logits computed in another way may lie, as a share of the largest."""
SAME = 8
"""How far they may lie when computed in the same way, in units in the last place."""
ROWS = 16
"""Most rows of one batch: a series of checkpoints is sealed in several."""
_FED = 2
"""Last ids of the prompt, which are fed one at a time and so read the cache."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Whether a column is what it says, and the numbers behind the verdict."""

    ok: bool
    detail: str


class Sealer:
    """What is known of a base that was just loaded, and of every adapter met since.

    Args:
        probe: token ids of the prompt that seals are made on.
    """

    def __init__(self, base: Base, probe: Sequence[int]) -> None:
        self._base = base
        self._probe = (list(probe) * (_FED + 1))[: max(len(probe), _FED + 1)]
        self._truth = {BASE: self._fresh(BASE)}
        self._scale = float(self._truth[BASE].abs().max())
        [self._asked_first] = self._asked([BASE])

    def seal(self, names: Sequence[str]) -> list[Seal]:
        """Prove the columns of a session, each a name of `Base.attach` or `BASE`, side by side.

        A broken seal means: do not ask.
        """
        wrong = self._wrong_base()
        if wrong is not None:
            return [Seal(False, wrong)] * len(names)
        tuned = [name for name in dict.fromkeys(names) if name != BASE]
        found = {name: Seal(False, told) for name in tuned if (told := self._base.altered(name))}
        sound = [name for name in tuned if name not in found]
        for name in sound:
            if name not in self._truth:
                self._truth[name] = self._fresh(name)
        shared = [name for name in sound if not self._base.alone(name)]
        for batch in _batches(shared):
            found |= self._side_by_side(batch)
        for name in sound:
            if name not in found:
                [said] = self._asked([name])
                found[name] = self._judged(name, said, self._asked_first)
        drift = self._off(self._asked_first, self._truth[BASE])
        found[BASE] = Seal(True, f"the base: off by {drift:.2g} of {self._scale:.2g}")
        return [found[name] for name in names]

    def _wrong_base(self) -> str | None:
        """Why the base column would not be the base."""
        if self._base.merged():
            return "an adapter is merged into the base"
        [said] = self._asked([BASE])
        drift = self._off(said, self._asked_first)
        if not drift <= SAME * torch.finfo(self._base.dtype).eps * self._scale:
            return f"the base in memory is not the base any more: off by {self._of(drift)}"
        drift = self._off(said, self._truth[BASE])
        if not drift <= self._tolerance:
            return f"the base does not answer as without a cache: off by {self._of(drift)}"
        return None

    def _side_by_side(self, names: Sequence[str]) -> dict[str, Seal]:
        base, *tuned = self._asked([BASE, *names])
        drift = self._off(base, self._asked_first)
        if not drift <= self._tolerance:
            wrong = f"beside an adapter the base is not the base: off by {self._of(drift)}"
            return dict.fromkeys(names, Seal(False, wrong))
        return {
            name: self._judged(name, said, base) for name, said in zip(names, tuned, strict=True)
        }

    def _judged(self, name: str, said: torch.Tensor, base: torch.Tensor) -> Seal:
        moved = self._off(said, base)
        drift = self._off(base, self._asked_first)
        own = self._off(said, self._truth[name])
        numbers = f"base off by {drift:.2g}, adapter by {moved:.2g}, of {self._scale:.2g}"
        if not own <= self._tolerance:
            return Seal(False, f"the adapter does not answer as by itself: off by {self._of(own)}")
        if not moved > max(drift, SAME * torch.finfo(torch.float32).eps * self._scale):
            return Seal(False, f"the adapter changes nothing: {numbers}")
        return Seal(True, numbers)

    def _fresh(self, name: str) -> torch.Tensor:
        """Logits at the last places of the prompt, shape (places, vocabulary), in one pass."""
        ids = torch.tensor([self._probe], device=self._base.device)
        with torch.inference_mode(), self._base.rows([name]):
            logits = self._base.model(input_ids=ids, use_cache=False).logits
        said: torch.Tensor = logits[0, -_FED - 1 :].float()
        return said

    def _asked(self, names: Sequence[str]) -> list[torch.Tensor]:
        """The same as people are answered: all rows in one batch, the last ids over the cache."""
        prompt, fed = self._probe[:-_FED], self._probe[-_FED:]
        rows = [
            Generation(number, name, prompt, len(fed), Sampler(0.0, 1.0, 0))
            for number, name in enumerate(names)
        ]
        with ExitStack() as stack:
            batch = Batch(self._base, rows, 0, stack)
            said = [batch.step()]
            for token in fed:
                batch.feed([token] * len(rows))
                said.append(batch.step())
        return list(torch.stack(said, dim=1).float())

    @property
    def _tolerance(self) -> float:
        return TOLERANCE[self._base.dtype] * self._scale

    def _of(self, off: float) -> str:
        return f"{off:.2g} of {self._scale:.2g}"

    @staticmethod
    def _off(one: torch.Tensor, other: torch.Tensor) -> float:
        return float((one - other).abs().max())


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), ROWS - 1):
        yield names[start : start + ROWS - 1]
