"""`workbench sizes` and `workbench exports`: what an export would be, and those that there are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from store.errors import BadInput, NotFound
from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.export.advice import Advice, Row
    from engine.export.sizes import Size
    from store.catalogue import Catalogue
    from store.exports import Export, Proof


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
    from engine.export import advice
    from engine.export import sizes as engine
    from engine.models import refs
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    room = engine.memory_of(memory) if memory else None
    with Catalogue.open(find_workspace(workspace)) as cat:
        found = engine.sizes(cat, ref, context=context)
        rows = advice.measured(cat, refs.whole(refs.resolve(cat, ref)).ref)
    expected = {size.type.name: advice.expected(size.type, rows) for size in found}
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
                "expected_kl": expected[size.type.name],
            }
            for size in found
        ],
    }
    table = _table(found, expected, room, taken, measured=advice.scale(rows) is not None)
    held = found[0].context
    shorter = [f"This model holds {held:,} tokens at once, not {context:,}."]
    emit(told, json, chain(table, shorter if held < context else ()))


def _table(
    found: list[Size], expected: dict[str, float], room: int | None, taken: Size | None,
    *, measured: bool,
) -> Iterator[str]:  # fmt: skip
    from engine.export.advice import quality

    held = f"({found[0].context:,} tokens held)"
    yield f"type        file      to run   expected loss of quality {held}"
    for size in found:
        kl = expected[size.type.name]
        sign = "" if room is None else "  ✓ fits" if size.memory <= room else "  ✗ too large"
        star = "  ★" if size is taken else ""
        yield (
            f"{size.type.name:<7}{_size(size.bytes):>9}{_size(size.memory):>12}   "
            f"KL {kl:<7.2g} {quality(kl):<18}{sign}{star}"
        )
    yield ""
    source = "other exports of this model" if measured else "Llama-3-8B"
    yield f"Sizes are estimates; KL is judged by {source}. The proof says what yours loses."
    if room is not None and taken is None:
        yield f"None of these runs in {_size(room)}: hold fewer tokens, or take a smaller model."


def exports(
    remove: Annotated[
        int | None, typer.Option("--delete", metavar="ID", help="Delete an export and its files.")
    ] = None,
    lines: Annotated[
        int | None, typer.Option("--lines", metavar="ID", help="The lines to copy that run it.")
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="REF", help="Every type of a model, measured."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="SIZE", help="With --compare: what must hold it."),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Every export: its size, its proof, its age, and whether it is still there."""
    from engine.export import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    asked = {"--delete": remove, "--lines": lines, "--compare": compare}
    named = [name for name, value in asked.items() if value is not None]
    if len(named) > 1:
        raise BadInput(f"{' and '.join(named)}: one at a time.", f"Say {named[0]} alone.")
    if memory is not None and compare is None:
        raise BadInput("--memory: goes with --compare.", "Say --compare REF --memory 8GB.")
    with Catalogue.open(find_workspace(workspace)) as cat:
        if remove is not None:
            gone = client.delete(cat, remove)
            emit({"deleted": remove, "file": gone.path}, json, f"{gone.path} is deleted")
            return
        if lines is not None:
            _lines(cat, lines, json)
            return
        if compare is not None:
            _compare(cat, compare, memory, json)
            return
        found = [_plain(export, client.proof_of(cat, export)) for export in client.listed(cat)]
    emit({"exports": found}, json, _listed(found))


def _lines(cat: Catalogue, export_id: int, json: bool) -> None:
    """What to copy into a shell or a file, to run an export elsewhere."""
    from engine.export import lines as engine
    from store import exports as stored
    from store.visible import visible

    found = engine.lines_of(cat, stored.get(cat, export_id))
    told = {"id": export_id, "lines": [asdict(one) for one in found]}
    text = "\n\n".join(f"# {one.title}\n{visible(one.text, keep_newlines=True)}" for one in found)
    emit(told, json, text)


def _compare(cat: Catalogue, ref: str, memory: str | None, json: bool) -> None:
    """Every measured type of a model side by side, and which one to take."""
    from engine.export import advice
    from engine.export import sizes as engine
    from engine.models import refs

    room = engine.memory_of(memory) if memory else None
    model = refs.whole(refs.resolve(cat, ref))
    any_size = engine.sizes(cat, model.ref)[0]
    rows = advice.measured(cat, model.ref, any_size.memory - any_size.bytes)
    if not rows:
        hint = f"workbench export {ref} --type q8_0,q4_k_m"
        raise NotFound(f"{model.ref}: no export of it was measured.", f"Make some: {hint}")
    found = advice.recommend(rows, room)
    merge = advice.which_merge(rows)
    told = {
        "model": model.ref,
        "memory": room,
        "types": [{**asdict(row), "alike": row.alike} for row in rows],
        "best": found.row.type if found.row else None,
        "advice": found.sentence,
        "merge": merge or None,
    }
    emit(told, json, _compared(rows, found, merge))


def _compared(rows: list[Row], found: Advice, merge: str) -> Iterator[str]:
    from engine.export.types import TYPES

    known = TYPES["gguf"]
    yield "  type          file      to run        KL   top-1    lost     loss   proof"
    for row in rows:
        lost = "–" if row.share_lost is None else f"{row.share_lost:.1%}"
        fitted = row.type in known and known[row.type].fitted  # it is of other chats
        loss = "–" if row.loss is None or fitted else f"{row.loss:.4f}"
        name = f"{row.type}{'°' if row.original else ''}"
        yield (
            f"{'★' if row is found.row else ' '} {name:<8}{_size(row.bytes):>10}"
            f"{_size(row.memory):>12}{row.kl:>10.2g}{row.top1:>8.1%}{lost:>8}{loss:>9}   "
            f"{row.verdict}"
        )
    if any(row.original for row in rows):
        yield "  ° on the base's own weights"
    yield ""
    yield found.sentence
    if merge:
        yield merge


def _plain(export: Export, proof: Proof | None) -> dict[str, Any]:
    from engine.export.files import present

    return {
        "id": export.id,
        "model": export.ref,
        "kind": export.kind,
        "type": export.type,
        "merge": export.provenance.get("merge"),
        "file": export.path,
        "bytes": export.bytes,
        "sha256": export.sha256,
        "status": export.status,
        "error": export.provenance.get("error"),
        "proof": {"verdict": proof.verdict, "created": proof.created} if proof else None,
        "there": present(Path(export.path)),
        "created": export.created,
    }


def _listed(found: list[dict[str, Any]]) -> Iterator[str]:
    if not found:
        yield "No exports yet: workbench export REF --to gguf"
    for export in found:
        size = _size(export["bytes"]) if export["bytes"] else "–"
        kind = "" if export["kind"] == "gguf" else f"{export['kind']} "
        name = f"{kind}{export['type']}{'°' if export['merge'] == 'original' else ''}"
        failed = export["status"] == "failed"
        end = export["error"] if failed else export["file"]
        gone = (
            "  gone" if not failed and export["status"] != "running" and not export["there"] else ""
        )
        yield (
            f"{export['id']:>4}  {export['model']:<16} {name:<16}{size:>10}  {_state(export):<16}"
            f"{_age(time.time() - export['created']):>7}{gone}  {end}"
        )
    if any(export["merge"] == "original" for export in found):
        yield "      ° on the base's own weights"


def _state(export: dict[str, Any]) -> str:
    """The status, and what its newest proof said where that is not a plain pass."""
    status = str(export["status"])
    said = (export["proof"] or {}).get("verdict")
    same = {"proved": "pass", "unproved": "fail"}.get(status)
    return f"{status}, {said}" if said and said != same else status


def _age(seconds: float) -> str:
    for unit, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {word}"
    return "now"


def _size(count: int) -> str:
    """Bytes in the unit that tells them."""
    if count < 1e6:
        return f"{count / 1e3:,.1f} kB"
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
