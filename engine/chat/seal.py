"""(heavy) The proof that every column is what it says, made anew whenever models take their seats.

Knows one short prompt, and what a plain base and every adapter by itself answered to it: the base
when it was loaded, before any adapter was there. Each such truth was compared with one forward
pass that has no cache. To seal is to ask the same through the very loop that answers people
(`generate`), one batch with a row for every column, and to compare. It finds an adapter that was
left active or merged, weights that changed in memory, an adapter that is not its file, rows that
are mixed up, and keys and values that are another prompt's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from engine.chat.base import BASE, Base
from engine.chat.generate import Batch, Generation
from engine.chat.sampling import Sampler

OTHERWISE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 1e-2}
"""How far logits may lie that were computed in another way: root mean square, as a share."""
SAME = 8
"""How far they may lie where the way is the same, in units in the last place."""
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
    Attributes:
        sound: the base is one still; else nothing can be sealed any more.
    """

    def __init__(self, base: Base, probe: Sequence[int]) -> None:
        self._base = base
        self._probe = (list(probe) * (_FED + 1))[: max(len(probe), _FED + 1)]
        self._otherwise = OTHERWISE[base.dtype]
        self._same = SAME * torch.finfo(base.dtype).eps
        self._truth: dict[str, torch.Tensor] = {}
        self._unlike = self._meet(BASE)
        self.sound = True

    def seal(self, names: Sequence[str]) -> list[Seal]:
        """Prove the columns of a session, each a name of `Base.attach` or `BASE`, side by side.

        A broken seal means: do not ask.
        """
        if wrong := self._wrong_base():
            self.sound = False
            return [Seal(False, wrong)] * len(names)
        found: dict[str, Seal] = {BASE: Seal(True, "the base answers as when it was loaded")}
        shared: list[str] = []
        for name in dict.fromkeys(names):
            if name == BASE:
                continue
            if wrong := self._base.altered(name) or self._meet(name):
                found[name] = Seal(False, wrong)
            elif not self._base.alone(name):
                shared.append(name)
            else:
                [said] = self._asked([name])
                found[name] = self._judged(name, said, self._truth[BASE])
        for batch in _batches(shared):
            base, *tuned = self._asked([BASE, *batch])
            for name, said in zip(batch, tuned, strict=True):
                found[name] = self._judged(name, said, base)
        return [found[name] for name in names]

    def _wrong_base(self) -> str:
        """Why the base column would not be the base."""
        if self._unlike:
            return self._unlike
        if self._base.merged():
            return "an adapter is merged into the base"
        [said] = self._asked([BASE])
        drift = self._off(said, self._truth[BASE])
        if not drift <= self._same:
            return f"the base in memory is not the base any more: off by {drift:.2g}"
        return ""

    def _meet(self, name: str) -> str:
        """Learn what a model answers by itself; why that cannot be believed, if it cannot."""
        if name in self._truth:
            return ""
        [said] = self._asked([name])
        unlike = self._off(said, self._fresh(name))
        if not unlike <= self._otherwise:
            return f"it does not answer as it does without a cache: off by {unlike:.2g}"
        self._truth[name] = said
        return ""

    def _judged(self, name: str, said: torch.Tensor, base: torch.Tensor) -> Seal:
        drift = self._off(base, self._truth[BASE])
        own = self._off(said, self._truth[name])
        moved = self._off(said, base)
        if not drift <= self._otherwise:
            return Seal(False, f"beside it the base is not the base: off by {drift:.2g}")
        if not own <= self._otherwise:
            return Seal(False, f"beside others it is not what it is by itself: off by {own:.2g}")
        numbers = f"moves the answers by {moved:.2g}, sure to {max(own, drift):.2g}"
        if not moved > max(own, drift, SAME * torch.finfo(torch.float32).eps):
            return Seal(False, f"it cannot be told from the base: {numbers}")
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

    def _off(self, said: torch.Tensor, expected: torch.Tensor) -> float:
        return float((said - expected).norm() / expected.norm())


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), ROWS - 1):
        yield names[start : start + ROWS - 1]
