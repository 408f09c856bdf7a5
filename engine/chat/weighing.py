"""How long a conversation is before it is sent, in tokens of the models that would be asked.

Knows the light renderer, which makes the same ids as a worker. Says nothing of a GGUF file: only
llama.cpp knows how that spells its tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.rows import Turn
from engine.models.folder import describe
from engine.models.refs import resolve
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


def weigh(cat: Catalogue, asks: Iterable[tuple[str, Sequence[Turn]]]) -> list[Weight | None]:
    """Tokens of every (reference, conversation); None for a model that nobody can count for.

    Raises:
        WorkbenchError: a reference leads nowhere, or a template refuses these turns.
    """
    found: list[Weight | None] = []
    counted: dict[tuple[Path, tuple[Turn, ...]], int] = {}
    for ref, turns in asks:
        folder = resolve(cat, ref).base
        if folder is None:
            found.append(None)
            continue
        key = (folder, tuple(turns))
        if key not in counted:
            renderer, _ = _loaded(folder, _stamp(folder))
            counted[key] = len(renderer.render(turns, generation_prompt=True, spans=False).ids)
        found.append(Weight(ref, counted[key], _loaded(folder, _stamp(folder))[1]))
    return found


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
