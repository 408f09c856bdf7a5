"""Ways to draw answers, by name: the shipped ones, and those that a person keeps.

A preset says everything but the seed and, unless its owner wants so, the length. Knows values and
their bounds. Does not draw (see `engine.chat.sampling`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store import library
from store.catalogue import Catalogue
from store.errors import BadInput, NotFound
from store.sqlite import from_json, to_json

NEUTRAL: Mapping[str, float] = {
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
}
"""What each value is where it does nothing."""

BOUNDS: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, 5.0),
    "top_p": (0.01, 1.0),
    "top_k": (0, 1_000_000),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.1, 10.0),
    "max_tokens": (1, 1_000_000),
    "seed": (0, 2**53),
}
WHOLE = ("top_k", "max_tokens", "seed")


@dataclass(frozen=True, slots=True)
class Preset:
    """Values by name; `own` was kept by a person."""

    name: str
    values: Mapping[str, float]
    own: bool = False


SHIPPED = (
    Preset("greedy", NEUTRAL),
    Preset("precise", {**NEUTRAL, "temperature": 0.3, "top_p": 0.9}),
    Preset("balanced", {**NEUTRAL, "temperature": 0.7, "top_p": 0.95, "top_k": 40}),
    Preset("creative", {**NEUTRAL, "temperature": 1.0, "min_p": 0.05}),
    Preset("untouched", {**NEUTRAL, "temperature": 1.0}),
)
"""`untouched` draws from what the model itself says, which is what fine-tuning changes."""


def all(cat: Catalogue) -> list[Preset]:
    """The shipped ones, then a person's own by name."""
    own = library.all(cat, "preset")
    return [*SHIPPED, *(Preset(kept.name, _read(kept.text), own=True) for kept in own)]


def find(cat: Catalogue, name: str) -> Preset:
    """Raises: NotFound."""
    known = all(cat)
    for preset in known:
        if preset.name == name.strip():
            return preset
    listed = ", ".join(preset.name for preset in known)
    raise NotFound(f"there is no preset '{name}'", f"There are: {listed}.")


def keep(cat: Catalogue, name: str, values: Mapping[str, Any], *, replace: bool = False) -> Preset:
    """Keep these values under a name; the seed is left out.

    Raises:
        BadInput: the name is that of a shipped one; or see `library.keep`.
        Conflict: the name is taken.
    """
    if name.strip() in [preset.name for preset in SHIPPED]:
        raise BadInput(f"'{name.strip()}' is a shipped preset", "Give yours another name.")
    kept = {key: value for key, value in values.items() if key in BOUNDS and key != "seed"}
    made = library.keep(cat, "preset", name, to_json(kept), replace=replace)
    return Preset(made.name, kept, own=True)


def called(cat: Catalogue, values: Mapping[str, Any]) -> str:
    """The name of the preset with these values, empty where there is none."""
    for preset in all(cat):
        if fits(preset.values, values):
            return preset.name
    return ""


def fits(preset: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether the values are those of a preset; a length counts only where the preset has one."""
    return {key: values.get(key, NEUTRAL.get(key)) for key in preset} == dict(preset)


def whole(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are drawn with: whole numbers where a value is one."""
    known = {key: value for key, value in values.items() if key in BOUNDS}
    return {key: int(value) if key in WHOLE else value for key, value in known.items()}


def words(values: Mapping[str, Any]) -> str:
    """How answers are drawn: `temperature 0.7 · top_p 0.9 · seed 3 · 256 tokens`."""
    said = []
    if values.get("temperature"):
        said.append(f"temperature {values['temperature']:g}")
        for key in ("top_k", "top_p", "min_p"):
            if values.get(key, NEUTRAL[key]) != NEUTRAL[key]:
                said.append(f"{key} {values[key]:g}")
        if "seed" in values:
            said.append(f"seed {values['seed']}")
    else:
        said.append("greedy")
    if values.get("repetition_penalty", 1.0) != 1:
        said.insert(1, f"repetition penalty {values['repetition_penalty']:g}")
    if "max_tokens" in values:
        said.append(f"{values['max_tokens']:,} tokens")
    return " · ".join(said)


def number(key: str, typed: str) -> float:
    """A value as it was typed.

    Raises:
        BadInput: it is no number or out of bounds; the value is named.
    """
    low, high = BOUNDS[key]
    hint = f"Give a number from {low:g} to {high:g}."
    try:
        value: float = int(typed) if key in WHOLE else float(typed)
    except ValueError as error:
        what = "a whole number" if key in WHOLE else "a number"
        raise BadInput(f"{key}: expected {what}, found '{typed}'", hint) from error
    if not low <= value <= high:
        raise BadInput(f"{key}: {typed} is out of bounds", hint)
    return value


def read(text: str) -> dict[str, float]:
    """Values as they are typed: `temperature=0.7 top_p=0.9`; the others do nothing.

    Raises:
        BadInput: a word is not of this form; it is named.
    """
    values = dict(NEUTRAL)
    for word in text.replace(",", " ").split():
        key, sign, typed = word.partition("=")
        if not sign or key not in BOUNDS or key == "seed":
            known = ", ".join(key for key in BOUNDS if key != "seed")
            raise BadInput(f"'{word}': expected KEY=VALUE", f"Keys are {known}.")
        values[key] = number(key, typed)
    return values


def _read(text: str) -> dict[str, float]:
    values: dict[str, float] = from_json(text)
    return {**NEUTRAL, **values}
