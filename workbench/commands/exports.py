"""`workbench sizes` and `workbench exports`: what an export would be, and those that there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.export.sizes import Size
    from store.exports import Export


def sizes(
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="Model: run:ID@STEP, starter, a folder.")
    ],
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="What must hold it, as 8GB.")
    ] = None,
    context: Annotated[
        int, typer.Option("--context", metavar="N", help="Tokens to be held at once.")
    ] = 4096,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """How large a model is in every GGUF type, what running it takes, and what is usually lost."""
    from engine.export import sizes as engine
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    room = engine.memory_of(memory) if memory else None
    with Catalogue.open(find_workspace(workspace)) as cat:
        found = engine.sizes(cat, ref, context=context)
    taken = engine.best(found, room) if room is not None else None
    told = {
        "model": ref,
        "context": found[0].context,
        "memory": room,
        "best": taken.type.name if taken else None,
        "types": [
            {
                "type": size.type.name,
                "bytes": size.bytes,
                "memory": size.memory,
                "fits": None if room is None else size.memory <= room,
                "usual_kl": size.type.usual,
            }
            for size in found
        ],
    }
    emit(told, json, _table(found, room, taken))


def _table(found: list[Size], room: int | None, taken: Size | None) -> Iterator[str]:
    yield f"type        file      to run   usual KL   ({found[0].context:,} tokens held)"
    for size in found:
        usual = size.type.usual
        lost = "?" if usual is None else f"{usual:.2g}"
        sign = "" if room is None else "  ✓ fits" if size.memory <= room else "  ✗ too large"
        star = "  ★" if size is taken else ""
        yield (
            f"{size.type.name:<7}{_size(size.bytes):>9}{_size(size.memory):>12}{lost:>11}{sign}{star}"
        )
    yield ""
    yield "Sizes are estimates. Usual KL is Llama-3-8B's; the proof says what yours loses."
    if room is not None and taken is None:
        yield f"None of these runs in {_size(room)}: hold fewer tokens, or take a smaller model."


def exports(
    remove: Annotated[
        int | None, typer.Option("--delete", metavar="ID", help="Delete an export and its files.")
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Every export: its size, whether it is proved, and whether it is still there."""
    from engine.export import client
    from store import exports as stored
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    with Catalogue.open(find_workspace(workspace)) as cat:
        if remove is not None:
            gone = client.delete(cat, remove)
            emit({"deleted": remove, "file": gone.path}, json, f"{gone.path} is deleted")
            return
        found = stored.all(cat)
    emit({"exports": [_plain(export) for export in found]}, json, _listed(found))


def _plain(export: Export) -> dict[str, Any]:
    return {
        "id": export.id,
        "model": export.ref,
        "kind": export.kind,
        "type": export.type,
        "file": export.path,
        "bytes": export.bytes,
        "sha256": export.sha256,
        "status": export.status,
        "there": Path(export.path).exists(),
        "created": export.created,
    }


def _listed(found: list[Export]) -> Iterator[str]:
    if not found:
        yield "No exports yet: workbench export REF --to gguf"
    for export in found:
        size = _size(export.bytes) if export.bytes else "–"
        there = "" if Path(export.path).exists() or export.status == "failed" else "  gone"
        yield (
            f"{export.id:>4}  {export.ref:<16} {export.type:<7}{size:>10}  "
            f"{export.status:<9}{there}  {export.path}"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
