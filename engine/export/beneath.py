"""The file that an adapter's file is put on: the base alone, as the training held it.

Knows which of our exports is such a file, and how it is asked for where there is none. Writes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.export.stages import Source
from store import exports
from store.catalogue import Catalogue
from store.exports import Export

_EXACT = ("f16", "bf16", "f32")


def base_ref(source: Source) -> str:
    """The reference of the base alone as the training held it: `run:12*0` of `run:12@400`."""
    if source.adapter is None:
        return source.ref
    return f"{source.ref.partition('@')[0].partition('*')[0]}*0"


def find(cat: Catalogue, source: Source) -> Path | None:
    """The newest proved file of the same base, held in the same way, that is still there."""
    wanted = {
        "base_sha256": source.base_sha256,
        "quantization": source.quantization,
        "double_quant": source.double_quant if source.quantization else None,
        "dtype": source.dtype,
        "adapter_sha256": None,
    }
    for export in exports.all(cat):
        noted = {key: export.provenance.get(key) for key in wanted}
        same = export.ref == base_ref(source) or (source.base_sha256 and noted == wanted)
        if same and export.type in _EXACT and _whole(export):
            return Path(export.path)
    return None


def of(cat: Catalogue, adapter: Export, source: Source) -> Path | None:
    """The file that an adapter was proved on; where that is gone, another of the same base."""
    return by_hash(cat, adapter.provenance) or find(cat, source)


def by_hash(cat: Catalogue, noted: Mapping[str, Any]) -> Path | None:
    """The very file that an adapter was proved on, as its provenance names it, if it is there."""
    digest = noted.get("base_gguf_sha256")
    same = (e for e in exports.all(cat) if digest and e.sha256 == digest and _whole(e))
    return next((Path(export.path) for export in same), None)


def _whole(export: Export) -> bool:
    proved = export.kind == "gguf" and export.status == "proved"
    return proved and Path(export.path).is_file()
