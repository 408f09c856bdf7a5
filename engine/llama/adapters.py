"""(heavy) Adapters on one GGUF base, one at a time, and the proof that each column is what it says.

Knows which are loaded, which is worn, and what the base and every adapter answered to one short
text, by themselves and from an empty cache. To seal is to ask the same again while they take turns
as in a chat, and to compare: as `chat.seal` does for weights in PyTorch. It finds an adapter that
was left on, or never came on, and keys and values that another model computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.chat.protocol import Seat
from engine.llama.model import LlamaModel, Saved
from store.errors import BadInput

MOST = 16
"""Adapters that are loaded at once; others are read again when they are asked."""
SAME = 1e-4
"""How far logits may lie that were computed in the same way: root mean square, as a share."""
MOST_KEPT = 4
"""Caches of others that are kept: the columns of a chat read only what is new in it."""
_LEAST = 1e-6
_PROBE = "Why is the sky blue, and who has seen it otherwise?"
_FED = 2
"""Last ids of the text, which are fed one at a time and so read the cache."""

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Worn:
    """An adapter file as it was when it took its seat, at a strength."""

    path: Path
    version: tuple[int, int, int]
    strength: float

    @classmethod
    def of(cls, seat: Seat) -> Worn | None:
        """What a seat wears; None is the base.

        Raises:
            BadInput: the file is gone.
        """
        if seat.adapter is None:
            return None
        path = Path(seat.adapter)
        try:
            found = path.stat()
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}", "Name another adapter.") from error
        return cls(path, (found.st_ino, found.st_size, found.st_mtime_ns), seat.strength)


@dataclass(frozen=True, slots=True)
class Seal:
    """Whether a column is what it says, and the numbers behind the verdict."""

    ok: bool
    detail: str


class Adapters:
    """Who is seated at a loaded file.

    Attributes:
        sound: the base is one still; else nothing can be sealed any more.
    """

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        self._worn: dict[str, Worn | None] = {}
        self._loaded: dict[tuple[Path, tuple[int, int, int]], Any] = {}
        text = model.tokenize(_PROBE, parse_special=False, add_special=True)
        self._probe = (text * (_FED + 1))[: max(len(text), _FED + 1)]
        self._base: Logits | None = None
        self._now: Worn | None = None
        self._kept: dict[Worn | None, Saved] = {}
        self.sound = True

    def attach(self, seats: Sequence[Seat]) -> Iterator[tuple[Seat, Seal]]:
        """Seat models, each with its seal; one whose seal is broken cannot be asked.

        Raises:
            BadInput, Unsupported: llama.cpp refuses an adapter.
        """
        worn = [Worn.of(seat) for seat in seats]
        self._keep()
        seals = self._seal(worn)
        self._model.forget()
        self._restore()
        for seat, wears in zip(seats, worn, strict=True):
            self._worn.pop(seat.model, None)
            if seals[wears].ok:
                self._worn[seat.model] = wears
            yield seat, seals[wears]

    def wear(self, model: str) -> None:
        """Let the model `model` answer from now on, with the cache of its own last answer.

        Raises:
            BadInput: it was never seated, its seal broke, or its file changed since.
        """
        if model not in self._worn:
            raise BadInput(f"{model} is not attached here", "Attach it first.")
        worn = self._worn[model]
        if worn != self._now:
            self._keep()
            self._wear(worn)
            self._restore()

    def _keep(self) -> None:
        if (cache := self._model.saved()) is not None:
            self._kept[self._now] = cache
        while len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))

    def _restore(self) -> None:
        if (cache := self._kept.pop(self._now, None)) is not None:
            self._model.restore(cache)

    def _wear(self, worn: Worn | None) -> None:
        """From an empty cache, unless it is worn already."""
        if worn is None:
            self._model.wear(None)
        else:
            self._model.wear(self._load(worn), worn.strength)
        self._now = worn

    def _load(self, worn: Worn) -> Any:
        key = worn.path, worn.version
        adapter = self._loaded.pop(key, None)
        if adapter is None:
            if Worn.of(Seat("", str(worn.path), worn.strength)) != worn:
                raise BadInput(f"{worn.path}: it was written anew meanwhile", "Open it again.")
            adapter = self._model.read_adapter(worn.path)
            while len(self._loaded) >= MOST:
                self._model.drop_adapter(self._loaded.pop(next(iter(self._loaded))))
        self._loaded[key] = adapter  # the last one in is the last one out
        return adapter

    def _seal(self, worn: Sequence[Worn | None]) -> dict[Worn | None, Seal]:
        tuned = [one for one in dict.fromkeys(worn) if one is not None]
        if not tuned and self._base is None:
            return {None: Seal(True, "the file itself, in llama.cpp")}
        if self._base is None:
            self._base = self._alone(None)
        self._model.forget()
        base = self._asked(None)
        found: dict[Worn | None, Seal] = {}
        for one in tuned:
            alone = self._alone(one)
            beside = self._asked(None)  # the base after it, then it after the base
            found[one] = self._judged(alone, self._asked(one), beside)
            base = self._asked(None)
        drift = _off(base, self._base)
        self.sound = drift <= SAME
        if not self.sound:
            wrong = f"the base does not answer as before any adapter was loaded: off by {drift:.2g}"
            return dict.fromkeys(worn, Seal(False, wrong))
        found[None] = Seal(True, "the base answers as before any adapter was loaded")
        return found

    def _judged(self, alone: Logits, said: Logits, base: Logits) -> Seal:
        assert self._base is not None
        drift, own, moved = _off(base, self._base), _off(said, alone), _off(said, base)
        if not drift <= SAME:
            return Seal(False, f"beside it the base is not the base: off by {drift:.2g}")
        if not own <= SAME:
            return Seal(False, f"beside others it is not what it is by itself: off by {own:.2g}")
        numbers = f"moves the answers by {moved:.2g}, sure to {max(own, drift):.2g}"
        if not moved > max(own, drift, _LEAST):
            return Seal(False, f"it cannot be told from the base: {numbers}")
        return Seal(True, numbers)

    def _alone(self, worn: Worn | None) -> Logits:
        """What a model answers from an empty cache, whoever was asked before."""
        self._wear(worn)
        self._model.forget()
        return self._asked(worn)

    def _asked(self, worn: Worn | None) -> Logits:
        """What a model answers where a chat would go on from here, shape (places, vocabulary)."""
        self._wear(worn)
        prompt, fed = self._probe[:-_FED], self._probe[-_FED:]
        return np.stack([self._model.prompt(prompt), *(self._model.step(one) for one in fed)])


def _off(said: Logits, expected: Logits) -> float:
    return float(np.linalg.norm(said - expected) / np.linalg.norm(expected))
