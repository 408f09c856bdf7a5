"""What a model's folder says about its template and its special tokens.

Knows the files that Hugging Face models keep them in. Does not render.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from store.errors import BadInput, Unsupported

_PREFIXED = re.compile(rb'"continuing_subword_prefix"\s*:\s*"[^"]')
_PANIC = "PanicException"
"""What a fault inside of the tokenizers library is raised as; it is no `Exception`."""


def read_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer, which neither cuts nor pads.

    Raises:
        Unsupported: the folder has none.
        BadInput: the file is not one, or breaks the library that reads it.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise Unsupported(
            f"{folder}: no tokenizer.json (a fast tokenizer is needed)",
            "Save the tokenizer with a recent transformers, then point to that folder.",
        )
    _check_merges(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()  # a hostile one takes all memory, and the process ends
        with suppress(Exception):
            tokenizer.encode("a")  # what every text would break shows now
    except Exception as error:
        raise _broken(path, error) from error
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise _broken(path, error) from error
    return tokenizer


def _broken(path: Path, error: object) -> BadInput:
    return BadInput(f"{path}: {error}", "Copy tokenizer.json from the model again.")


def _check_merges(path: Path) -> None:
    """Merged pieces lose the prefix that they begin with: one without it breaks the library."""
    if not _PREFIXED.search(path.read_bytes()):
        return
    model = read_json(path).get("model")
    known = model if isinstance(model, dict) else {}
    prefix = str(known.get("continuing_subword_prefix") or "")
    for merge in known.get("merges") or ():
        pieces = merge.split(" ", 1) if isinstance(merge, str) else merge
        second = str(pieces[-1]) if isinstance(pieces, list) and pieces else ""
        if not second.startswith(prefix):
            raise _broken(
                path,
                "key model.continuing_subword_prefix: expected none, or merges whose second pieces "
                f"begin with {prefix!r}, found {second!r:.40}",
            )


def read_json(path: Path) -> dict[str, Any]:
    """An object of a JSON file; empty where there is no file.

    Raises:
        BadInput: it is something else.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{path}: not JSON ({error})", "Copy the file from the model again."
        ) from error
    if not isinstance(value, dict):
        raise BadInput(f"{path}: expected a JSON object", "Copy the file from the model again.")
    return value


def special_tokens(config: dict[str, Any]) -> dict[str, str]:
    """The named special tokens (`bos_token` and the like) of tokenizer_config.json."""
    found: dict[str, str] = {}
    for name, value in config.items():
        if not name.endswith("_token"):
            continue
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            found[name] = value
    return found


def template_source(folder: Path, config: dict[str, Any]) -> str | None:
    """The text of the chat template; None where the model has none.

    Raises:
        BadInput: it is not text.
    """
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{path}: not UTF-8 text (byte {error.start})",
                "Copy the file from the model again.",
            ) from error
    value = config.get("chat_template")
    if isinstance(value, list):
        named = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
        value = named.get("default")
    return value if isinstance(value, str) else None


def stop_ids(folder: Path) -> list[int]:
    """End-of-generation ids of generation_config.json, else config.json; a list or one."""
    for name in ("generation_config.json", "config.json"):
        value = read_json(folder / name).get("eos_token_id")
        if isinstance(value, int | list):
            listed = value if isinstance(value, list) else [value]
            # Some write -1 for "none".
            return [item for item in listed if isinstance(item, int) and 0 <= item < 2**31]
    return []
