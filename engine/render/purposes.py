"""Rows as the methods of training want them: one sequence, or an answer beside a worse one.

Knows which rows a method learns from, and that only the answers of a preference are trained, not
what was said before them. All ids and masks are the renderer's. Does not know recipes or lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from engine.data.rows import Purpose, Row, Turn
from engine.render.rendered import Compact
from engine.render.renderer import Renderer
from store.errors import BadInput

Method = Literal["sft", "text", "dpo", "kto"]

_TAKES: dict[Method, tuple[Purpose, ...]] = {
    "sft": ("sft", "text", "tokens", "segments"),
    "text": ("text", "tokens"),
    "dpo": ("preference",),
    "kto": ("unpaired",),
}
_WANTS: dict[Method, str] = {
    "sft": "learns answers",
    "text": "learns plain text",
    "dpo": "learns from a prompt with a chosen and a rejected answer",
    "kto": "learns from answers marked good or bad",
}
_IS: dict[Purpose, str] = {
    "sft": "a conversation",
    "text": "plain text",
    "preference": "a preference pair",
    "unpaired": "an answer marked good or bad",
    "stepwise": "steps with a verdict each",
    "prompt": "a prompt without an answer",
    "tokens": "token ids",
    "segments": "segments with a mask",
}
_RECIPES: dict[Purpose, str] = {
    "sft": "default",
    "tokens": "default",
    "segments": "default",
    "text": "text",
    "preference": "preference",
    "unpaired": "kto",
}
_CONVERTED: dict[tuple[Purpose, Method], str] = {
    ("preference", "sft"): "messages",
    ("unpaired", "sft"): "messages",
    ("preference", "kto"): "kto",
}
"""What `workbench data convert` can make of a row without inventing anything."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the model sees of one row.

    Attributes:
        sequence: the row; of a preference the prompt with the chosen answer.
        rejected: the prompt with the rejected answer; None but for a preference.
    """

    sequence: Compact
    rejected: Compact | None = None

    @property
    def same(self) -> bool:
        """Both answers are the same tokens: there is nothing to prefer."""
        return self.rejected is not None and self.rejected.ids == self.sequence.ids

    @property
    def prompts_differ(self) -> bool:
        """The template renders the prompt otherwise before the other answer."""
        worse = self.rejected
        return worse is not None and self._prompt(self.sequence) != self._prompt(worse)

    @staticmethod
    def _prompt(seen: Compact) -> list[int]:
        return seen.ids[: seen.runs[0][0]] if seen.runs else seen.ids


def wrong_shape(row: Row, method: Method) -> BadInput | None:
    """Why a method cannot learn from a readable row, with the way out; None where it can."""
    if row.error is not None or row.purpose in _TAKES[method] or method == "sft":
        return None  # The renderer refuses what answers cannot be learned from, in its own words.
    what = f"line {row.number}: {_IS[row.purpose]}; method={method} {_WANTS[method]}"
    return BadInput(what, way_out(row, method))


def way_out(row: Row, method: Method) -> str:
    """What to do with rows like this one, which a method cannot use."""
    ways = []
    if to := _CONVERTED.get((row.purpose, method)):
        ways.append(f"convert the file: workbench data convert FILE --to {to} --out NEW.jsonl")
    if recipe := _RECIPES.get(row.purpose):
        ways.append(f"train on it with another method: --recipe {recipe}")
    text = "; or ".join(ways) or "leave such rows out"
    return f"{text[:1].upper()}{text[1:]}."


def draw(
    renderer: Renderer, rows: Sequence[Row], method: Method = "sft", *, details: bool = False
) -> list[Drawn | BadInput]:
    """Render rows for a method; an error stands in the place of a row that it cannot use.

    Args:
        details: as in `Renderer.render_rows`.
    Raises:
        Unsupported: a row needs a chat template and the model has none.
    """
    found: list[Drawn | BadInput | None] = [wrong_shape(row, method) for row in rows]
    places = [place for place, wrong in enumerate(found) if wrong is None]
    wanted = [rows[place] for place in places]
    paired = method == "dpo"
    asked = [_answering(row) if method in ("dpo", "kto") else row for row in wanted]
    worse = [_answering(row, rejected=True) for row in wanted] if paired else []
    drawn = renderer.render_rows([*asked, *worse], details=details)
    for n, place in enumerate(places):
        better, other = drawn[n], drawn[len(asked) + n] if paired else None
        found[place] = _one(better, other, rows[place])
    return [item for item in found if item is not None]


def _one(
    better: Compact | BadInput, worse: Compact | BadInput | None, row: Row
) -> Drawn | BadInput:
    if isinstance(better, BadInput):
        return better
    if isinstance(worse, BadInput):
        line = f"line {row.number}: "
        told = worse.message.removeprefix(line)
        return BadInput(f"{line}the rejected answer: {told}", worse.hint)
    if worse is None:
        return Drawn(better)
    # The turns of the prompt are counted once.
    return Drawn(better, replace(worse, parts=worse.parts[row.prompt_turns :]))


def _answering(row: Row, *, rejected: bool = False) -> Row:
    """The row as a conversation of which only what follows the prompt is trained."""
    if row.error is not None:
        return row
    before = [_untrained(turn) for turn in row.turns[: row.prompt_turns]]
    answer = row.rejected if rejected else row.turns[row.prompt_turns :]
    return msgspec.structs.replace(
        row, purpose="sft", turns=(*before, *answer), rejected=(), prompt_turns=0, label=None
    )


def _untrained(turn: Turn) -> Turn:
    return msgspec.structs.replace(turn, train=False, flags=())
