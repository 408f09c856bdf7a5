"""A base with new tokens: a folder of its own in the workspace, made once.

The tokenizer gets the tokens, and the embedding and the head get rows where they have none to
spare; a new row begins as the mean of the rows of the pieces that the token was spelled with. What
does not change is linked. To everything else the result is a base like any other. Knows the
formats of safetensors and tokenizer.json. Does not know torch, and trains nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Tokenizer

from engine.models.folder import file_sha256, read_json, weight_files
from engine.models.hashes import known_weights_sha256
from store.errors import BadInput, Unsupported
from store.workspace import Workspace

TABLES = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "lm_head.weight")
"""Endings of the tensors that have a row for each token."""

_COPY = 1 << 24
_WIDTHS = {"F32": 4, "BF16": 2, "F16": 2}
Floats = npt.NDArray[np.float32]


def grow(workspace: Workspace, base: Path, tokens: Sequence[str]) -> Path:
    """The folder of `base` with `tokens` in its vocabulary; `base` itself where there are none.

    Raises:
        BadInput: a token that a tokenizer cannot hold. Unsupported: no fast tokenizer, or weights
            of a type that has no mean.
        OSError: no room for it.
    """
    if not tokens:
        return base
    key = hashlib.sha256(
        json.dumps(
            [known_weights_sha256(workspace, base), _tokenizer_sha256(base), list(tokens)]
        ).encode()
    ).hexdigest()[:16]
    target = workspace.bases / f"{base.name}-{key}"
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    try:
        _fill(base, partial, tokens)
        if not target.is_dir():
            os.rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def token_ids(folder: Path, tokens: Sequence[str]) -> list[int]:
    """The ids of tokens that a grown folder has.

    Raises:
        BadInput: it has not all of them.
    """
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = {token: tokenizer.token_to_id(token) for token in tokens}
    missing = next((token for token, number in found.items() if number is None), None)
    if missing is not None:
        raise BadInput(f"{folder}: no token {missing!r}", "Start the run anew from its base.")
    return [number for number in found.values() if number is not None]


def _tokenizer_sha256(base: Path) -> str:
    path = base / "tokenizer.json"
    if not path.is_file():
        raise Unsupported(
            f"add_tokens: {base} has no tokenizer.json, and only a fast tokenizer can be extended",
            "Save the tokenizer with a recent transformers, then point to that folder.",
        )
    return file_sha256(path)


def _fill(base: Path, target: Path, tokens: Sequence[str]) -> None:
    weights = {file.name for file in weight_files(base)}
    for file in sorted(base.iterdir()):
        if file.is_file() and file.name not in weights:
            shutil.copyfile(file, target / file.name)
    old = Tokenizer.from_file(str(base / "tokenizer.json"))
    new = Tokenizer.from_file(str(base / "tokenizer.json"))
    for each in (old, new):
        each.no_padding()  # filled up, a token would not be one piece
    new.add_tokens([AddedToken(t, special=False, normalized=False) for t in tokens])
    odd = next((t for t in tokens if len(new.encode(t, add_special_tokens=False).ids) != 1), None)
    if odd is not None:
        raise BadInput(
            f"add_tokens: the tokenizer does not keep {odd!r} in one piece",
            "Choose a token without spaces that does not begin like another one.",
        )
    new.save(str(target / "tokenizer.json"))
    pieces = {
        number: list(old.encode(token, add_special_tokens=False).ids)
        for token in tokens
        if old.token_to_id(token) is None and (number := new.token_to_id(token)) is not None
    }
    rows = max([*pieces, -1]) + 1
    for name in sorted(weights):
        _weights(base / name, target / name, pieces, rows)
    config = read_json(base / "config.json")
    config["vocab_size"] = max(int(config.get("vocab_size") or 0), rows)
    (target / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _weights(source: Path, target: Path, pieces: dict[int, list[int]], rows: int) -> None:
    """Link a weight file, or write it with longer tables."""
    with source.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
        start = 8 + length
        tables = [
            name
            for name, entry in header.items()
            if name.endswith(TABLES) and len(entry["shape"]) == 2 and entry["shape"][0] < rows
        ]
        if not tables:
            _link(source, target)
            return
        longer = {name: _new_rows(file, start, name, header[name], pieces) for name in tables}
        written = _grown_header(header, longer)
        with target.open("xb") as out:
            out.write(struct.pack("<Q", len(written)) + written)
            for name, entry in _in_order(header):
                begin, end = entry["data_offsets"]
                file.seek(start + begin)
                _copy(file, out, end - begin)
                out.write(longer.get(name, b""))


def _link(source: Path, target: Path) -> None:
    real = os.path.realpath(source)
    try:
        os.link(real, target)
    except OSError:  # another disk, or one without links
        os.symlink(real, target)


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> None:
    while size:
        piece = source.read(min(size, _COPY))
        target.write(piece)
        size -= len(piece)


def _in_order(header: dict[str, Any]) -> list[tuple[str, Any]]:
    entries = [(name, entry) for name, entry in header.items() if name != "__metadata__"]
    return sorted(entries, key=lambda item: int(item[1]["data_offsets"][0]))


def _grown_header(header: dict[str, Any], longer: dict[str, bytes]) -> bytes:
    """The header with longer tables and offsets to suit, padded as the format wants it."""
    found: dict[str, Any] = {}
    if "__metadata__" in header:
        found["__metadata__"] = header["__metadata__"]
    place = 0
    for name, entry in _in_order(header):
        begin, end = entry["data_offsets"]
        more, shape = len(longer.get(name, b"")), list(entry["shape"])
        if more:
            shape[0] += more // ((end - begin) // shape[0])
        size = end - begin + more
        found[name] = {
            "dtype": entry["dtype"], "shape": shape, "data_offsets": [place, place + size]
        }  # fmt: skip
        place += size
    text = json.dumps(found, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _new_rows(
    file: BinaryIO, start: int, name: str, entry: dict[str, Any], pieces: dict[int, list[int]]
) -> bytes:
    """The bytes of the rows from the end of a table to the last new token."""
    kind, (rows, columns) = entry["dtype"], entry["shape"]
    if kind not in _WIDTHS:
        raise Unsupported(
            f"add_tokens: {name} is stored as {kind}, of which no mean can be taken",
            "Use the model in bfloat16, float16 or float32.",
        )
    width = columns * _WIDTHS[kind]
    begin = start + entry["data_offsets"][0]

    def row(index: int) -> Floats:
        file.seek(begin + index * width)
        return _floats(file.read(width), kind)

    made = []
    for index in range(rows, max(pieces) + 1):
        parts = [piece for piece in pieces.get(index, []) if piece < rows] or [0]
        made.append(_bytes(np.mean([row(p) for p in parts], axis=0, dtype=np.float32), kind))
    return b"".join(made)


def _floats(data: bytes, kind: str) -> Floats:
    if kind == "BF16":
        wide = np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16
        return wide.view(np.float32)
    return np.frombuffer(data, dtype="<f4" if kind == "F32" else "<f2").astype(np.float32)


def _bytes(values: Floats, kind: str) -> bytes:
    if kind == "BF16":  # to the nearest, halves to even
        bits = values.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    return values.astype("<f4" if kind == "F32" else "<f2").tobytes()
