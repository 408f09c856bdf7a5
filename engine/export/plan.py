"""What an export will be, before anything heavy starts: source, type, name, size, room.

Knows references, headers and free space. Does not load weights.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.export import beneath
from engine.export import types as known
from engine.export.files import PROVENANCE, partial_of, taken
from engine.export.gguf import graph
from engine.export.gguf.checkout import Checkout
from engine.export.gguf.mixture import BLOCKS, gguf_bytes
from engine.export.records import said_of
from engine.export.safefile import contents, read_header
from engine.export.stages import Merge, Source
from engine.export.types import ExportType
from engine.models import refs
from engine.models.folder import describe, read_json
from engine.models.refs import Model
from store import exports, runs
from store.catalogue import Catalogue
from store.errors import BadInput, Conflict, NoSpace, Unsupported
from store.exports import Kind

_FILES = ("gguf", "adapter-gguf")
WEIGHTS = "adapter_model.safetensors"
_MARGIN = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class File:
    """One file or folder that will be written.

    Attributes:
        out: the final name; partial: the name while it is being written and proved.
        bytes: about how large it will be.
    """

    type: str
    out: Path
    partial: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """An export that can be started.

    Attributes:
        source: the trained model as files.
        files: what is written, one for each type.
        merge: which weights the adapter is put on; `faithful` where the two are the same.
        shard: bytes of weights in one file at most; None does not divide.
        llama_cpp: a checkout whose converter writes GGUF files; None where ours does.
        run_id, step: where it comes from, if from a run.
    """

    source: Source
    kind: Kind
    files: tuple[File, ...]
    merge: Merge
    shard: int | None
    llama_cpp: Path | None
    run_id: int | None
    step: int | None

    @property
    def bytes(self) -> int:
        """About how large all files will be."""
        return sum(file.bytes for file in self.files)


def make(
    cat: Catalogue,
    ref: str,
    *,
    to: Kind,
    types: Sequence[str] | None,
    out: Path | None,
    force: bool = False,
    merge: Merge = "faithful",
    shard: int | None = None,
    llama_cpp: Path | None = None,
) -> Plan:
    """Check everything that can be checked without weights, and choose the names.

    Args:
        out: the name to write; a folder to write into where it is one, or types are several.
    Raises:
        WorkbenchError: the reference, type, architecture, name or disk does not allow it.
    """
    names = types if types is not None else (known.usual(to).name,)
    chosen = list(dict.fromkeys(known.choose(to, name) for name in names))
    if not chosen:
        raise BadInput("--type: no type is named.", "Say --type q4_k_m,q8_0.")
    model = refs.whole(refs.resolve(cat, ref))
    source = source_of(cat, model)
    config = read_json(Path(source.base) / "config.json")
    describe(Path(source.base))
    if "quantization_config" in config:
        raise Unsupported(
            f"{source.base}: config.json: key quantization_config: the weights are already "
            "quantised.",
            "Use the full-precision weights of this model as the base.",
        )
    if shard is not None and to not in ("gguf", "merged"):
        raise BadInput(f"--shard: nothing is divided for --to {to}.", "Leave it out.")
    checkout = _checkout(to, llama_cpp) if llama_cpp is not None else None
    if checkout is None and to in (*_FILES, "ollama"):
        graph.check(config)
    if to in ("adapter", "adapter-gguf") and source.adapter is None:
        raise Unsupported(
            f"{ref}: has no adapter.", "Name a run, for example run:1, or use --to merged."
        )
    if source.quantization is None or source.adapter is None or to == "adapter":
        merge = "faithful"  # the weights were held as they are: there is no other choice
    files = []
    for final, type in zip(_finals(cat, model, to, chosen, out, merge), chosen, strict=True):
        _check_free_name(final, to, force)
        files.append(File(type.name, final, partial_of(final), size_of(source, to, type.name)))
    halfway = any(type.quantised for type in chosen) and "f16" not in {t.name for t in chosen}
    between = size_of(source, to, "f16") if halfway else 0
    if to == "adapter-gguf":
        _check_pairs(source)
        if beneath.find(cat, source) is None:  # it is written too
            between = size_of(source, "gguf", source.lossless)
    if to == "gguf" and shard is not None:  # while it is divided, a file is there twice
        between = max(between, *(file.bytes for file in files))
    if checkout is not None:
        between += size_of(source, "merged", "f32")
    _check_space(files[0].out.parent, sum(file.bytes for file in files) + between)
    return Plan(source, to, tuple(files), merge, shard, checkout, model.run_id, model.step)


def _check_pairs(source: Source) -> None:
    """Refuse, before a base is written for it, an adapter that is more than pairs of matrices."""
    weights = Path(source.adapter or "") / WEIGHTS
    names = read_header(weights) if weights.is_file() else {}
    for name in names:
        if not any(part in name for part in ("lora_A", "lora_B", "lora_embedding_", "base_layer")):
            raise Unsupported(
                f"{source.ref}: tensor {name}: an adapter for llama.cpp holds pairs of matrices "
                "alone; no DoRA, no tokens and no weights trained beside them.",
                "Merge it into a file of its own: --to gguf.",
            )


def _checkout(to: Kind, llama_cpp: Path) -> Path:
    """The checkout of llama.cpp, where its converter is of use."""
    if to not in ("gguf", "ollama"):
        raise BadInput(f"--llama-cpp: nothing is converted for --to {to}.", "Leave it out.")
    return Checkout.open(llama_cpp).path


def source_of(cat: Catalogue, model: Model) -> Source:
    """The files behind a resolved reference, with what its run recorded.

    Raises:
        Unsupported: a GGUF file, which cannot be taken apart again.
    """
    if model.base is None:
        raise Unsupported(
            f"{model.ref}: a GGUF file is an end product.",
            "Name the run or the model folder that it was made from.",
        )
    number = refs.parse(model.ref).run_id  # also of a run's base alone
    run = runs.get(cat, number) if number is not None else None
    chats = cat.workspace.snapshots / run.snapshot / "eval.jsonl" if run and run.snapshot else None
    return Source(
        ref=model.ref,
        base=str(model.base),
        # With added tokens the base lies in the workspace; its name is that of what it grew from.
        base_ref=run.model if run and run.recipe.get("add_tokens") else model.base_ref,
        adapter=str(model.adapter) if model.adapter else None,
        quantization=model.quantization,
        double_quant=model.double_quantization,
        dtype=model.dtype,
        base_sha256=run.base_sha256 if run else None,
        template_sha256=run.template_sha256 if run else None,
        chats=str(chats) if chats and chats.is_file() else None,
        record=said_of(cat, run, model) if run and model.adapter else {},
    )


def _finals(
    cat: Catalogue,
    model: Model,
    to: Kind,
    chosen: Sequence[ExportType],
    out: Path | None,
    merge: Merge,
) -> list[Path]:
    """The exports' names: as asked, in the folder asked for, or free ones in the workspace."""
    ending = ".gguf" if to in _FILES else ""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", model.label).strip("-").lower() or "model"
    adapter = to in ("adapter", "adapter-gguf")
    slug += "-original" if merge == "original" and not adapter else ""
    names = [f"{slug}-{'adapter' if adapter else type.name}" for type in chosen]
    if out is None:
        folder = cat.workspace.create().exports.absolute()
        busy = {export.path for export in exports.all(cat) if export.status == "running"}
        return [_free(folder, name, ending, busy) for name in names]
    given = out.expanduser().absolute()
    if not given.parent.is_dir():
        raise BadInput(f"{given.parent}: no such folder.", "Make it, or choose another --out.")
    if not os.access(given if given.is_dir() else given.parent, os.W_OK | os.X_OK):
        raise BadInput(f"{given.parent}: may not be written into.", "Choose another --out.")
    if len(chosen) > 1 and given.exists() and not given.is_dir():
        raise BadInput(f"{out}: is a file; {len(chosen)} types need a folder.", "Name a folder.")
    if len(chosen) > 1 or (ending and given.is_dir()):
        return [given / f"{name}{ending}" for name in names]
    if given.suffix != ending and ending:
        raise BadInput(f"{out}: expected a name ending in .gguf.", f"Use --out {out}.gguf")
    return [given]


def _free(folder: Path, name: str, ending: str, busy: Set[str]) -> Path:
    number, path = 1, folder / f"{name}{ending}"
    while taken(path) or str(path) in busy:
        number += 1
        path = folder / f"{name}-{number}{ending}"
    return path


def _check_free_name(path: Path, to: str, force: bool) -> None:
    """Refuse to write over anything unless told to, and over a foreign folder even then."""
    for found in taken(path):
        if not force:
            raise Conflict(f"{found}: exists already.", "Choose another --out, or add --force.")
        folder = to not in _FILES
        if found.is_dir() != folder or (folder and not (found / PROVENANCE).is_file()):
            raise Conflict(
                f"{found}: exists and is not an export of this kind.", "Choose another --out."
            )


def context_of(base: Path) -> int | None:
    """Tokens that a base can hold, in llama.cpp too; None where its config does not say."""
    config = read_json(base / "config.json")
    return graph.context(config) if isinstance(config.get("max_position_embeddings"), int) else None


def size_of(source: Source, to: Kind, type_name: str) -> int:
    """How many bytes an export takes, within a percent."""
    base = Path(source.base)
    if to in ("adapter", "adapter-gguf") and source.adapter is not None:
        return sum(f.stat().st_size for f in Path(source.adapter).glob("adapter_*"))
    if to == "merged":
        width = BLOCKS[type_name.upper()][1]
        weights = sum(entry.size for entry in contents(base).values()) * width
        return weights + (base / "tokenizer.json").stat().st_size
    config = read_json(base / "config.json")
    return gguf_bytes(base, config, type_name, tied=_tied(source, config))


def _tied(source: Source, config: Mapping[str, Any]) -> bool:
    """Whether the file will hold one tensor as embedding and as head."""
    base, adapter = Path(source.base), Path(source.adapter or "") / WEIGHTS
    apart = "lm_head.weight" in contents(base) and not config.get("tie_word_embeddings")
    trained = read_header(adapter) if source.adapter and adapter.is_file() else {}
    return not apart and not any(
        "lm_head" in name or ("embed_tokens" in name and "token_adapter" not in name)
        for name in trained
    )


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder if folder.is_dir() else folder.parent).free
    if free < size + _MARGIN:
        raise NoSpace(
            f"{folder}: the export needs about {(size + _MARGIN) / 1e6:,.1f} MB, "
            f"{free / 1e6:,.1f} MB are free.",
            "Make room, or choose another --out or a smaller --type.",
        )
