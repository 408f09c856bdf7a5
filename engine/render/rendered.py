"""What the renderer gives: ids, mask, and what a reader should know about them.

Knows records only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Span:
    """The tokens of one turn: `ids[start:end]`."""

    role: str
    start: int
    end: int
    trained: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the model sees of one example.

    Attributes:
        ids: token ids, length n.
        mask: 1 where the loss counts, else 0; length n.
        tokens: the text of each token; length n. Bytes of one character share its text.
        spans: the turns in order, where the template lets them be told apart.
        text: the rendered text before tokenising.
        cut: how many ids `max_length` removed at the end.
        bos: how many begin-of-sequence tokens the ids begin with.
        turn_end_trained: every trained turn ends in a trained stop token.
        notes: what a reader should know, one sentence each.
    """

    ids: list[int]
    mask: list[int]
    tokens: list[str]
    spans: tuple[Span, ...]
    text: str
    cut: int
    bos: int
    turn_end_trained: bool
    notes: tuple[str, ...]

    @property
    def trained_tokens(self) -> int:
        """How many ids the loss counts."""
        return sum(self.mask)

    @property
    def cut_at(self) -> int | None:
        """The index of the first id that `max_length` cut; None where nothing was."""
        return len(self.ids) if self.cut else None

    def cut_to(self, max_length: int | None) -> Rendered:
        """At most the first `max_length` ids; None keeps all."""
        if max_length is None or len(self.ids) <= max_length:
            return self
        return replace(
            self,
            ids=self.ids[:max_length],
            mask=self.mask[:max_length],
            tokens=self.tokens[:max_length],
            cut=len(self.ids) - max_length,
            turn_end_trained=False,
        )

    def compact(self) -> Compact:
        """The same with the mask as ranges, for a rendering that is not cut."""
        runs: list[tuple[int, int]] = []
        for place, trained in enumerate(self.mask):
            if trained and runs and runs[-1][1] == place:
                runs[-1] = (runs[-1][0], place + 1)
            elif trained:
                runs.append((place, place + 1))
        parts = (("text", len(self.ids)),)
        ends = self.turn_end_trained
        return Compact(self.ids, tuple(runs), parts, self.text, self.bos, ends, self.notes)


@dataclass(frozen=True, slots=True)
class Compact:
    """What the model sees of one example, without a list entry a token beyond the ids.

    Attributes:
        ids: token ids, not cut.
        runs: the trained ids as ranges (start, end), in order, apart from each other.
        parts: (role, tokens) of each turn's text as it stands in the rendering.
        text, bos, turn_end_trained, notes: as in `Rendered`, not cut.
        lost: what of the row is not in the rendering, as (kind, sentence).
    """

    ids: list[int]
    runs: tuple[tuple[int, int], ...]
    parts: tuple[tuple[str, int], ...]
    text: str
    bos: int
    turn_end_trained: bool
    notes: tuple[str, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()

    def trained(self, max_length: int | None = None) -> int:
        """How many of the first `max_length` ids the loss counts."""
        limit = len(self.ids) if max_length is None else max_length
        return sum(max(min(end, limit) - start, 0) for start, end in self.runs)

    def mask(self) -> list[int]:
        """1 where the loss counts, else 0."""
        found = bytearray(len(self.ids))
        for start, end in self.runs:
            found[start:end] = b"\x01" * (end - start)
        return list(found)
