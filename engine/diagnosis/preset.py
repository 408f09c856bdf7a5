"""Rules of thumb, shipped or in a file: zones and limits that somebody found to fit their runs.

Knows TOML and how a rule of thumb is said: always as one, never as a verdict. Public logs support
the shipped ones only in part; each file says so.

    name = "habit"
    caution = "what is known against it"
    [[zone]]
    name = "healthy"
    loss = [0.5, 0.8]
    [[limit]]
    metric = "loss"
    above = 1.0
    text = "…"
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

import assets
from engine.diagnosis.rules import words
from engine.diagnosis.verdict import Verdict
from engine.diagnosis.view import View
from store.errors import BadInput, NotFound

LABEL = "rule of thumb"


class Zone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ranges that were seen together; token accuracy as a share, loss and entropy in nats."""

    name: str
    loss: tuple[float, float] | None = None
    token_accuracy: tuple[float, float] | None = None
    entropy: tuple[float, float] | None = None
    epoch: tuple[float, float] | None = None

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The ranges that are given, by metric."""
        all_ = {
            "loss": self.loss,
            "token_accuracy": self.token_accuracy,
            "entropy": self.entropy,
            "epoch": self.epoch,
        }
        return {name: pair for name, pair in all_.items() if pair is not None}


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something to say where a number is above or below a limit.

    Attributes:
        metric: loss, token_accuracy, entropy, epoch, learning_rate, rows or held_out.
    """

    metric: str
    text: str
    above: float | None = None
    below: float | None = None
    knob: str = ""


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of rules of thumb."""

    name: str
    description: str
    caution: str
    zone: list[Zone] = []
    limit: list[Limit] = []


def names() -> list[tuple[str, str]]:
    """The shipped presets: name and one sentence."""
    found = [load(str(path)) for path in sorted(assets.path("presets").glob("*.toml"))]
    return [(preset.name, preset.description) for preset in found]


def load(name_or_path: str) -> Preset:
    """A shipped preset by name, or one in a TOML file.

    Raises:
        NotFound: neither. BadInput: not TOML, or a key is not what was expected.
    """
    folder = assets.path("presets")
    shipped = folder / f"{name_or_path}.toml"
    path = shipped if shipped.is_file() else Path(name_or_path).expanduser()
    if not path.is_file():
        known = sorted(item.stem for item in folder.glob("*.toml"))
        near = difflib.get_close_matches(name_or_path, known, 1)
        guess = f" (did you mean '{near[0]}'?)" if near else ""
        raise NotFound(
            f"preset '{name_or_path}': no such preset or file{guess}",
            f"Shipped presets: {', '.join(known)}.",
        )
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Preset)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise BadInput(f"{path}: {error}", "Compare it with a shipped preset.") from error


def judge(view: View, preset: Preset) -> list[Verdict]:
    """What the preset says of a run: information, whatever the numbers are."""
    now = _numbers(view)
    said = [_zone(preset, zone, now) for zone in preset.zone]
    said += [_limit(preset, limit, now) for limit in preset.limit]
    told = [verdict for verdict in said if verdict is not None]
    # What is known against them is said once.
    return [replace(told[0], advice=preset.caution), *told[1:]] if told else []


def _zone(preset: Preset, zone: Zone, now: Mapping[str, float]) -> Verdict | None:
    """A zone is spoken of where most of what it names lies in it."""
    known = {name: pair for name, pair in zone.ranges.items() if name in now}
    inside = [name for name, (low, high) in known.items() if low <= now[name] <= high]
    if not known or 2 * len(inside) <= len(known):
        return None
    numbers = ", ".join(
        f"{_word(name)} {now[name]:.3g} ({low:g}–{high:g})" + ("" if name in inside else " not")
        for name, (low, high) in known.items()
    )
    text = f"{LABEL} ({preset.name}): {len(inside)} of {len(known)} in '{zone.name}': {numbers}"
    evidence = {"preset": preset.name, "zone": zone.name, **{name: now[name] for name in known}}
    return Verdict("rule-of-thumb", "info", text, evidence)


def _limit(preset: Preset, limit: Limit, now: Mapping[str, float]) -> Verdict | None:
    value = now.get(limit.metric)
    if value is None:
        return None
    over = limit.above is not None and value > limit.above
    under = limit.below is not None and value < limit.below
    if not (over or under):
        return None
    shown = words.rate(value) if limit.metric == "learning_rate" else f"{value:.3g}"
    bound = limit.above if over else limit.below
    text = f"{LABEL} ({preset.name}): {_word(limit.metric)} {shown}: {limit.text}"
    evidence = {"preset": preset.name, limit.metric: value, "limit": bound}
    return Verdict("rule-of-thumb", "info", text, evidence, "", limit.knob)


def _numbers(view: View) -> dict[str, float]:
    """What a preset may speak of, where it is known; metrics as the median of late."""
    found: dict[str, float | None] = {
        "learning_rate": view.rate,
        "rows": view.facts.rows,
        "held_out": view.facts.held_out,
        "epoch": view.epochs,
    }
    for name in ("loss", "token_accuracy", "entropy"):
        points = view.curves[name]
        late = sorted(points.values[-max(5, len(points) // 10) :].tolist())
        found[name] = late[len(late) // 2] if late else None
    return {name: value for name, value in found.items() if value is not None}


def _word(metric: str) -> str:
    return metric.replace("_", " ")
