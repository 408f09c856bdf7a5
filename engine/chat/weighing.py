"""How long a conversation is before it is sent, in tokens of the models that would be asked.

Knows the light renderer, which makes the same ids as a worker. Only llama.cpp knows how a GGUF file
spells its tokens: the worker that would answer is asked.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.chat.client import launches
from engine.data.rows import Turn
from engine.llama.client import count
from engine.models.folder import describe
from engine.models.refs import Model, resolve
from engine.render.renderer import Renderer
from store.catalogue import Catalogue
from store.errors import BadInput


@dataclass(frozen=True, slots=True)
class Weight:
    """Tokens of a question with all before it, of how many its model holds (0: it does not say)."""

    ref: str
    tokens: int
    context: int

    @property
    def words(self) -> str:
        """`1,870 of 4,096 tokens`."""
        of = f" of {self.context:,}" if self.context else ""
        return f"{self.tokens:,}{of} tokens"

    @property
    def fits(self) -> bool:
        """Whether there is room for it and one token of an answer."""
        return not self.context or self.tokens < self.context


def weigh(
    cat: Catalogue, asks: Iterable[tuple[str, Sequence[Turn]]], *, start: bool = False
) -> list[Weight | None]:
    """Tokens of every (reference, conversation); None for a model that nobody can count for now.

    Args:
        start: load a GGUF file that no worker holds yet: it is about to be asked.
    Raises:
        WorkbenchError: a reference leads nowhere, or a template refuses these turns.
    """
    counted: dict[tuple[Path, tuple[Turn, ...]], tuple[int, int] | None] = {}
    found: list[Weight | None] = []
    for ref, turns in asks:
        model = resolve(cat, ref)
        key = model.base or model.gguf or Path(), tuple(turns)
        if key not in counted:
            counted[key] = _count(cat, model, turns, start=start)
        numbers = counted[key]
        found.append(None if numbers is None else Weight(ref, *numbers))
    return found


def _count(
    cat: Catalogue, model: Model, turns: Sequence[Turn], *, start: bool
) -> tuple[int, int] | None:
    """Tokens of the prompt, and how many the model holds."""
    if model.base is None:
        (launch,) = launches(cat.workspace, [model])
        counts = count(launch, turns, start=start)
        return None if counts is None else (counts.tokens[0], counts.context)
    renderer, context = _loaded(model.base, _stamp(model.base))
    return len(renderer.render(turns, generation_prompt=True, spans=False).ids), context


def refuse_long(weights: Iterable[Weight]) -> None:
    """Raises: BadInput: a conversation is longer than a model holds; with the numbers."""
    for weight in weights:
        if not weight.fits:
            raise BadInput(
                f"{weight.ref}: the conversation has {weight.tokens:,} tokens; this model holds "
                f"{weight.context:,}",
                "Nothing was asked, and what you wrote is still in the prompt: shorten it, or "
                "begin a new chat.",
            )


def _stamp(folder: Path) -> int:
    """What changes when the tokenizer does."""
    file = folder / "tokenizer.json"
    return file.stat().st_mtime_ns if file.is_file() else 0


@functools.lru_cache(maxsize=4)
def _loaded(folder: Path, _stamp: int) -> tuple[Renderer, int]:
    return Renderer.load(folder), describe(folder).context
