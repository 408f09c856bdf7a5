"""Turns to token ids and a loss mask: the only place where this is decided.

The data screen shows what comes out of here, the trainer trains on it, the chat prompts with it
and an exported file is checked against it. Does not know torch, rows on disk, or recipes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tokenizers import Encoding, Tokenizer
from tokenizers.decoders import DecodeStream

from engine.data.rows import Row, Turn
from engine.render import folder as files
from engine.render import losses, spans
from engine.render.blocks import Conversation, Trained
from engine.render.rendered import Compact, Rendered, Span
from engine.render.template import ChatTemplate, TemplateText
from engine.render.tokenrange import Places
from engine.render.turns import Rows, Tools, as_messages, refuse_purpose, rendered_text
from store.errors import BadInput, Unsupported

__all__ = ["Compact", "Rendered", "Renderer", "Span", "StreamDecoder"]

IGNORED = -100


class StreamDecoder:
    """Ids to text one by one; a character split over ids appears once it is whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def feed(self, token_id: int) -> str:
        """The text that `token_id` completes, or an empty string."""
        return self._stream.step(self._tokenizer, token_id) or ""
