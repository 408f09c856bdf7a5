"""Scores of a SentencePiece-like vocabulary: from tokenizer.model, else from the order of merges.

Knows the few fields of SentencePiece's protobuf that hold pieces. Does not know tokenizer.json.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from store.errors import BadInput

_UNREACHED = -1e6
_MAX_BYTES = 64 * 1024 * 1024
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


def of_merges(tokens: Sequence[str], merges: Sequence[tuple[str, str]]) -> list[float]:
    """Minus the rank of the first merge that makes a token: what is merged early scores high."""
    rank: dict[str, int] = {}
    for i, (left, right) in enumerate(merges):
        rank.setdefault(left + right, i)
    return [-float(rank[text]) if text in rank else _UNREACHED for text in tokens]


def agree(scores: Mapping[str, float], merges: Sequence[tuple[str, str]]) -> bool:
    """Whether these scores order the merges as they stand: only then do both give the same ids."""
    made = [scores.get(left + right) for left, right in merges]
    known = [score for score in made if score is not None]
    in_order = all(a >= b for a, b in itertools.pairwise(known))
    return len(known) == len(made) and in_order


def of_model(path: Path) -> dict[str, float]:
    """Pieces of a tokenizer.model and their scores.

    Raises:
        BadInput: the file is cut off, or no SentencePiece model.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"over {_MAX_BYTES} bytes")
        data = path.read_bytes()
        return dict(_piece(value) for number, value in _fields(data) if number == 1)
    except (ValueError, IndexError, struct.error) as error:
        raise BadInput(
            f"{path}: not a SentencePiece model ({error}).",
            "Copy tokenizer.model from the model again, or delete it: tokenizer.json is enough.",
        ) from error


def _piece(data: bytes) -> tuple[str, float]:
    """One `ModelProto.SentencePiece`: its text is field 1, its score field 2."""
    text, score = "", 0.0
    for number, value in _fields(data):
        if number == 1:
            text = value.decode("utf-8")
        elif number == 2 and len(value) == 4:
            score = struct.unpack("<f", value)[0]
    return text, score


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Field numbers and contents of a protobuf message; numbers are passed over."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(data, at)
            continue
        if kind not in (_EIGHT, _BYTES, _FOUR):
            raise ValueError(f"field type {kind} at byte {at}")
        size, at = _varint(data, at) if kind == _BYTES else (8 if kind == _EIGHT else 4, at)
        if size > len(data) - at:
            raise ValueError(f"cut off at byte {at}")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"endless number at byte {at}")
