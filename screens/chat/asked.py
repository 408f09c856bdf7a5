"""The exact tokens of a question and its answer, as the model saw and said them.

Knows ids and how they are spelled. Does not know sessions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen

from engine.data.rows import parse_row
from screens.data.tokens import Section, TokenView
from screens.safe import line

if TYPE_CHECKING:
    from engine.render.renderer import Rendered, Renderer


def sections(renderer: Renderer, asked: Sequence[int], said: Sequence[int]) -> list[Section]:
    """The ids of the question, then those of the answer, which are marked."""
    found = []
    for ids, words, labels in ((asked, "asked", [-100] * len(asked)), (said, "said", list(said))):
        if ids:
            row = parse_row(1, json.dumps({"input_ids": list(ids), "labels": labels}).encode())
            whole, more = _joined(renderer, renderer.render_row(row))
            label = f"{words} · {len(ids):,} tokens"
            found.append(Section(whole, whole, label=label, side="note", more=more))
    return found


def _joined(renderer: Renderer, whole: Rendered) -> tuple[Rendered, frozenset[int]]:
    """Characters of several tokens stand whole at the first; the places of the others."""
    tokens, more = list(whole.tokens), set[int]()
    for start, token in enumerate(tokens):
        if _BROKEN not in token or start in more:
            continue
        for end in range(start + 2, min(start + _MOST_BYTES, len(tokens)) + 1):
            character = renderer.decode(whole.ids[start:end], special=True)
            if _BROKEN not in character:
                tokens[start] = character
                more.update(range(start + 1, end))
                break
    return replace(whole, tokens=tokens), frozenset(more)


_BROKEN = "\ufffd"
_MOST_BYTES = 4


class Asked(ModalScreen[None]):
    """Tokens to look at; `i` shows their ids."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,t,q", "close", show=False),
        Binding("i", "ids", show=False),
    ]

    def __init__(self, name: str, found: Sequence[Section]) -> None:
        super().__init__()
        self.name_words = name
        self.found = found
        self.view = TokenView()

    def compose(self) -> ComposeResult:
        with Container(classes="dialog asked") as frame:
            frame.border_title = line(f"Tokens of {self.name_words}")
            frame.border_subtitle = "i ids  esc close"
            yield self.view

    def on_mount(self) -> None:
        self.view.focus()
        self.view.show(self.found)

    def action_ids(self) -> None:
        self.view.set_modes(ids=not self.view.ids, marks=False)

    def action_close(self) -> None:
        self.dismiss()
