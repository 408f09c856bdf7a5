"""What the first keys of a GGUF file say it is: a model or an adapter, and to which architecture.

Knows the head of the format. It reads a bounded piece and believes no length in it: whatever does
not fit ends the reading. Whether the file is whole is for llama.cpp to find out.
"""

from __future__ import annotations

import struct
from pathlib import Path

from store.errors import BadInput
from store.visible import visible

_HEAD = 1 << 16
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT = 8
_ADAPTER, _WEIGHTS, _NAME = "workbench.adapter_sha256", "workbench.base_sha256", "workbench.base"


def first_words(path: Path) -> dict[str, str]:
    """The keys with texts that stand before the first list; nothing of a file that is no GGUF.

    Every writer puts `general.architecture` and `general.type` first.
    """
    found: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if head[:4] != b"GGUF":
            return found
        (count,) = struct.unpack_from("<Q", head, 16)
        at = 24
        for _ in range(min(count, _HEAD)):
            key, at = _text(head, at)
            (kind,) = struct.unpack_from("<I", head, at)
            at += 4
            if kind == _TEXT:
                found[key], at = _text(head, at)
            elif kind in _SIZES:
                at += _SIZES[kind]
            else:
                break
    except struct.error:  # the head ends here
        pass
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", "Check the file's permissions.") from error
    return found


def _text(head: bytes, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("<Q", head, at)
    (text,) = struct.unpack_from(f"{min(size, _HEAD)}s", head, at + 8)
    return visible(text.decode("utf-8", "replace")), at + 8 + size


def is_adapter(path: Path) -> bool:
    """Whether the file says that it is an adapter to a model."""
    return first_words(path).get("general.type") == "adapter"


def check_pair(base: Path, adapter: Path) -> None:
    """Refuse an adapter that is none, or that is not to a model like this base.

    Raises:
        BadInput: by what the two files say of themselves.
    """
    below, above = first_words(base), first_words(adapter)
    if above.get("general.type") != "adapter":
        said = above.get("general.type", "nothing")
        raise BadInput(
            f"{adapter}: is not an adapter (key general.type: {said}; expected adapter)",
            "Expected BASE.gguf+ADAPTER.gguf; `workbench export --to adapter-gguf` makes one.",
        )
    if below.get("general.type", "model") != "model":
        raise BadInput(
            f"{base}: is not a model (key general.type: {below['general.type']}; expected model)",
            "Expected BASE.gguf+ADAPTER.gguf.",
        )
    names = [words.get("general.architecture", "nothing") for words in (below, above)]
    if below and names[0] != names[1]:
        raise BadInput(
            f"{adapter}: made for architecture {names[1]}, and {base.name} is {names[0]}",
            "Name the base that the adapter was made for.",
        )
    _check_provenance(base, below, adapter, above)


def _check_provenance(
    base: Path, below: dict[str, str], adapter: Path, above: dict[str, str]
) -> None:
    """Of files that we wrote more is known: shapes alone fit an adapter to other weights too."""
    merged = below.get(_ADAPTER)
    if merged is not None and merged == above.get(_ADAPTER):
        raise BadInput(
            f"{base}: holds the adapter {adapter.name} already; it would be put on twice",
            "Name the file of the base alone, or this one alone.",
        )
    weights = below.get(_WEIGHTS), above.get(_WEIGHTS)
    if merged is None and None not in weights and weights[0] != weights[1]:
        raise BadInput(
            f"{adapter}: trained on the weights of {above.get(_NAME)} ({weights[1]:.8}), and "
            f"{base.name} holds those of {below.get(_NAME)} ({weights[0]:.8})",
            "Name a file of the base that the adapter was trained on.",
        )
