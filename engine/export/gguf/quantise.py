"""(heavy) A GGUF file in 16 bits made smaller by llama.cpp's own quantiser.

Knows ctypes and the quantiser's options. It has no progress callback and cannot be stopped: what it
logs tells how far it is, and whoever wants it to stop ends its process. Only the fields that are
named here are set: their layout changes between releases, and the defaults come from the library.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp

from engine.export.gguf.importance import Importance
from store.errors import NoSpace, Unsupported
from store.visible import visible

BUFFER_BYTES = 128 << 20
"""Of a tensor, how much is held at once: half the memory of the default, at the same speed."""
_STEP = re.compile(r"^\[\s*(\d+)/\s*(\d+)\]")
_FALLBACK = re.compile(r"(\d+) of (\d+) tensor\(s\) required fallback")


def quantise(
    source: Path,
    target: Path,
    file_type: int,
    *,
    threads: int,
    importance: Importance,
    on_progress: Callable[[int, int], None],
) -> int:
    """Write `target` from `source` and force it to disk.

    Args:
        source: a GGUF file in F32, F16 or BF16.
        file_type: `general.file_type` of what is wanted (llama.cpp's `llama_ftype`).
        threads: processor threads.
        importance: by the file's names of weights; empty where the type needs none.
        on_progress: hears tensors done and tensors in all.
    Returns:
        how many tensors had to take a larger type, because their rows do not divide.
    Raises:
        Unsupported: llama.cpp refuses, in its own words; nothing is left at `target`.
        NoSpace: it could not write.
    """
    said: list[str] = []
    fallbacks = 0

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def hear(_level: int, text: bytes, _data: ctypes.c_void_p) -> None:
        nonlocal fallbacks
        line = visible(text.decode("utf-8", "replace"), keep_newlines=True)
        sys.stderr.write(line)
        said.append(line.strip())
        if step := _STEP.match(line.strip()):
            on_progress(int(step[1]), int(step[2]))
        elif found := _FALLBACK.search(line):
            fallbacks = int(found[1])

    llama_cpp.llama_log_set(hear, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype = file_type
    options.nthread = threads
    options.max_buf_size = BUFFER_BYTES
    matrix = matrix_of(importance)
    if importance:
        options.imatrix = matrix
    code = llama_cpp.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(options))
    if code != 0:
        target.unlink(missing_ok=True)  # it leaves what it had written
        if any("iostream error" in line for line in said):
            raise NoSpace(
                f"{target.parent}: the disk is full, or does not take {target.name}.",
                "Make room, then export again.",
            )
        why = next((line for line in reversed(said) if "fail" in line or "error" in line), "")
        raise Unsupported(
            f"llama.cpp did not quantise {source.name}: {why or f'code {code}'}",
            "Use --type q8_0, which we write ourselves.",
        )
    with target.open("rb") as handle:
        os.fsync(handle.fileno())
    return fallbacks


def matrix_of(importance: Importance) -> Any:
    """The vectors as llama.cpp takes them: an array that ends with one without a name."""
    entry = llama_cpp.llama_model_imatrix_data
    held = (entry * (len(importance) + 1))()
    for place, (name, values) in enumerate(importance.items()):
        held[place].name = name.encode()
        held[place].data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        held[place].size = values.size
    return held
