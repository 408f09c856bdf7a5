"""Rows that are cut already: token ids with labels, and segments of text."""

from __future__ import annotations

from engine.data.row.strict import WrongError, kind
from engine.data.shapes.dialect import Dialect, Object
from engine.data.shapes.row import Reading
from engine.data.shapes.turn import text_at

IGNORED = -100
"""The label of an id that is not trained on, in every trainer."""
MASKS = ("completion_mask", "assistant_masks")


def _tokens(row: Object) -> Reading:
    ids = _integers(row, "input_ids", 0)
    if row.get("labels") is not None:
        labels = _integers(row, "labels", IGNORED)
        _as_long(len(labels), len(ids), "labels")
    else:
        labels = ids
        for name in MASKS:
            if row.get(name) is not None:
                mask = _integers(row, name, 0)
                _as_long(len(mask), len(ids), name)
                labels = tuple(i if m else IGNORED for i, m in zip(ids, mask, strict=True))
    if row.get("attention_mask") is not None:
        _as_long(len(_integers(row, "attention_mask", 0)), len(ids), "attention_mask")
    return Reading(ids=ids, labels=labels)


def _integers(row: Object, key: str, least: int) -> tuple[int, ...]:
    values = row[key]
    if not isinstance(values, list):
        raise WrongError(f"{key}: expected a list of whole numbers, found {kind(values)}")
    if key == "input_ids" and not values:
        raise WrongError(f"{key}: expected at least one id, found an empty list")
    if set(map(type, values)) - {int} or (values and min(values) < least):
        for index, value in enumerate(values):
            if type(value) is not int:
                raise WrongError(f"{key}.{index}: expected a whole number, found {kind(value)}")
            if value < least:
                raise WrongError(f"{key}.{index}: expected {least} or more, found {value}")
    return tuple(values)


def _as_long(found: int, expected: int, key: str) -> None:
    if found != expected:
        raise WrongError(f"{key}: {found:,} values; expected {expected:,}, one for each id")


def _segments(row: Object) -> Reading:
    value = row["segments"]
    if not isinstance(value, list) or not value:
        found = "an empty list" if value == [] else kind(value)
        raise WrongError(f"segments: expected a list of a label and a text, found {found}")
    segments = []
    for index, item in enumerate(value):
        where = f"segments.{index}"
        if not isinstance(item, dict):
            raise WrongError(f"{where}: expected a label and a text, found {kind(item)}")
        label = item.get("label")
        if not isinstance(label, bool):
            raise WrongError(f"{where}.label: expected true or false, found {kind(label)}")
        segments.append((text_at(item, "text", where), label))
    return Reading(segments=tuple(segments))


TOKENS = (
    Dialect(
        "pretokenized",
        "token ids and labels",
        ("input_ids",),
        purpose="tokens",
        tools=(),
        also=("labels", "attention_mask", *MASKS),
        whole=_tokens,
    ),
    Dialect(
        "segments",
        "Axolotl segments: label, text",
        ("segments",),
        purpose="segments",
        tools=(),
        whole=_segments,
    ),
)
