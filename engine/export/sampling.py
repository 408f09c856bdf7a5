"""How the model's author has answers drawn; greedily where nothing is said, as in the chat.

Knows generation_config.json. Values go by the names of `engine.chat.presets`.
"""

from __future__ import annotations

from pathlib import Path

from engine.chat.presets import BOUNDS, NEUTRAL
from engine.models.folder import read_json

_DRAWN = {"temperature": 1.0, "top_k": 50.0}
"""What transformers takes where a model that draws does not say."""


def sampling_of(folder: Path) -> dict[str, float]:
    """Every value of `NEUTRAL` for the model in `folder`; what is out of bounds is left out."""
    path = folder / "generation_config.json"
    said = read_json(path) if path.is_file() else {}
    if said.get("do_sample") is not True:
        return dict(NEUTRAL)
    found = {**NEUTRAL, **_DRAWN}
    for name in NEUTRAL:
        value, (least, most) = said.get(name), BOUNDS[name]
        if isinstance(value, int | float) and least <= value <= most:
            found[name] = float(value)
    return found
