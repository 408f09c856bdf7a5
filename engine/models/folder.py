"""A Hugging Face model folder: what it holds and whether it is safe to load.

Knows config.json and safetensors headers. Does not load weights and never runs code from a
folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.errors import BadInput, NotFound, Unsupported

_MAX_HEADER = 100 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What a folder of weights says of itself.

    Attributes:
        architecture: the class name in config.json, e.g. `LlamaForCausalLM`.
        parameters: elements of all tensors on disk.
        bytes: size of the weight files.
        context: longest sequence the positions allow, in tokens.
    """

    path: Path
    architecture: str
    parameters: int
    bytes: int
    vocabulary: int
    hidden: int
    layers: int
    context: int


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, in name order.

    Raises:
        NotFound: no such folder, or no weights in it.
        Unsupported: only pickled weights.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder}: no such folder", "Check the path of the model.")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        where = read_json(index).get("weight_map")
        if not isinstance(where, dict) or not where:
            raise _wrong(index, "weight_map", "tensor names to file names")
        names = sorted(set(map(str, where.values())))
        files = [folder / Path(name).name for name in names]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise NotFound(
                f"{index}: names {missing[0]}, which is not in the folder",
                "Copy the missing weight files into the folder.",
            )
        return files
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return files
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise Unsupported(
            f"{folder}: only pickled weights (.bin or .pt), which can run code when loaded",
            "Save the model as safetensors, then point to that folder.",
        )
    way = "Point to a folder with model weights."
    if (folder / "model.gguf").is_file():
        way = f"It is for Ollama; name the file in it: {folder / 'model.gguf'}"
    raise NotFound(f"{folder}: no model.safetensors", way)


def describe(folder: Path) -> ModelFolder:
    """Read config.json and the safetensors headers of a folder.

    Raises:
        NotFound: config.json or weights are missing.
        BadInput: a file is not what it should be.
        Unsupported: the folder asks for code of its own (`auto_map`).
    """
    files = weight_files(folder)
    config_path = folder / "config.json"
    if not config_path.is_file() and (folder / "adapter_config.json").is_file():
        raise NotFound(
            f"{folder}: an adapter, and no model",
            "That of a run is named run:ID or run:ID@STEP. One from elsewhere comes in with its "
            "trainer_state.json: workbench import FOLDER.",
        )
    if not config_path.is_file():
        raise NotFound(f"{folder}: no config.json", "Point to a folder with a whole model.")
    config = read_json(config_path)
    if "auto_map" in config:
        raise Unsupported(
            f"{config_path}: 'auto_map' asks to run code from the model folder",
            "Use a model that transformers knows by itself; remote code is never run.",
        )
    _refuse_kernels(config, config_path)
    architectures = config.get("architectures") or ["unknown"]
    if not isinstance(architectures, list) or not isinstance(architectures[0], str):
        raise _wrong(config_path, "architectures", "a list of names")
    sizes = [math.prod(shape) for file in files for shape in tensor_shapes(file).values()]
    return ModelFolder(
        path=folder,
        architecture=architectures[0],
        parameters=sum(sizes),
        bytes=sum(file.stat().st_size for file in files),
        vocabulary=_count(config, "vocab_size", config_path),
        hidden=_count(config, "hidden_size", config_path),
        layers=_count(config, "num_hidden_layers", config_path),
        context=_count(config, "max_position_embeddings", config_path),
    )


def _refuse_kernels(config: dict[str, Any], path: Path) -> None:
    """Refuse an attention that is code to be fetched (as in CVE-2026-4372).

    Raises:
        Unsupported: naming the key.
    """
    for key, value in config.items():
        if "implementation" in key and isinstance(value, str) and "/" in value:
            raise Unsupported(
                f"{path}: '{key}' asks to run code from {value!r}",
                "Remove that key; remote code is never run.",
            )


def _count(config: dict[str, Any], key: str, path: Path) -> int:
    value = config.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or value < 0:
        raise _wrong(path, key, "a whole number")
    return value


def _wrong(path: Path, key: str, expected: str) -> BadInput:
    return BadInput(f"{path}: key {key}: expected {expected}", "Copy the file again.")


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a safetensors file, from its header alone.

    Raises:
        BadInput: the file is not safetensors.
    """
    broken = BadInput(f"{path}: not a safetensors file", "Copy the file again from its source.")
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise broken
        (length,) = struct.unpack("<Q", start)
        if length > _MAX_HEADER:
            raise broken
        try:
            header = json.loads(file.read(length))
            entries = {name: e for name, e in header.items() if name != "__metadata__"}
            return {name: tuple(int(n) for n in e["shape"]) for name, e in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise broken from error


def weights_sha256(folder: Path) -> str:
    """One hash over names and contents of the weight files."""
    total = hashlib.sha256()
    for file in weight_files(folder):
        total.update(file.name.encode() + b"\0" + file_sha256(file).encode() + b"\n")
    return total.hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of one file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        BadInput: not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON ({error})", "Copy the file again.") from error
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({error.strerror})", "Copy the file again."
        ) from error
    if not isinstance(value, dict):
        raise BadInput(f"{path}: expected a JSON object", "Copy the file again.")
    return value
