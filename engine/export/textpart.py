"""(heavy) The text part of a model that also reads images: a model of its own (Gemma 3 from 4B on).

Knows what its weights are called there and here, and asks transformers for the settings that
config.json leaves out. An adapter's changes to the rest are left out: text never comes by there.
Does not read weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from engine.export.gguf.families import TEXT_PARTS, architecture

Found = TypeVar("Found")
_HERE = re.compile(r"(?:model\.language_model|language_model\.model)\.(.+)")
_HEAD = re.compile(r"(?:language_model\.)?(lm_head(?:\..+)?)")


@dataclass(frozen=True, slots=True)
class TextPart:
    """What a class of transformers holds of text: another class."""

    architecture: str

    def config(self, folder: Path) -> dict[str, Any]:
        """config.json of the part alone."""
        from transformers import AutoConfig

        whole = AutoConfig.from_pretrained(folder, local_files_only=True)
        found: dict[str, Any] = whole.get_text_config().to_dict()
        tied = whole.tie_word_embeddings
        return {**found, "architectures": [self.architecture], "tie_word_embeddings": tied}

    def named(self, found: Mapping[str, Found]) -> dict[str, Found]:
        """What there is of the part, by its names: of weights or modules, stored or loaded."""
        named: dict[str, Found] = {}
        for name, one in found.items():
            if match := _HERE.fullmatch(name):
                named[f"model.{match[1]}"] = one
            elif match := _HEAD.fullmatch(name):
                named[match[1]] = one
        return named


def of(config: Mapping[str, Any]) -> TextPart | None:
    """The text part of a model with this config.json; None where it is all text, or unknown."""
    name = TEXT_PARTS.get(architecture(config))
    return TextPart(name) if name else None
