"""`workbench prompts`: prompts, system prompts and sampling presets, kept by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from store.visible import visible
from workbench.output import JsonOption, WorkspaceOption, emit, say, table

if TYPE_CHECKING:
    from store.catalogue import Catalogue
    from store.library import Kind

app = typer.Typer(
    help="Prompts, system prompts and presets by name: list, show, keep, rename, delete.",
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME")]
KindOption = Annotated[
    str, typer.Option("--kind", metavar="KIND", help="prompt, system or preset.")
]


def _open(workspace: Path | None) -> Catalogue:
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    return Catalogue.open(find_workspace(workspace))


def _kind(text: str) -> Kind:
    from store.errors import BadInput

    match text:
        case "prompt" | "system" | "preset":
            return text
    raise BadInput(f"--kind {text}: expected prompt, system or preset", "Without it: prompt.")


@app.callback()
def prompts(
    context: typer.Context, workspace: WorkspaceOption = None, json: JsonOption = False
) -> None:
    """List what is kept by name, and the shipped presets."""
    from engine.chat import presets
    from store import library

    if context.invoked_subcommand is not None:
        return
    with _open(workspace) as cat:
        texts = [one for one in library.all(cat) if one.kind != "preset"]
        kept: list[tuple[str, str, str]] = [(one.kind, one.name, one.text) for one in texts]
        kept += [("preset", one.name, presets.words(one.values)) for one in presets.all(cat)]
    told = [{"kind": kind, "name": name, "text": text} for kind, name, text in kept]
    lines = [(kind, visible(name), _short(text)) for kind, name, text in kept]
    emit({"prompts": told}, json, table(("kind", "name", "text"), lines))


@app.command("show")
def show(name: Name, kind: KindOption = "prompt", workspace: WorkspaceOption = None,
         json: JsonOption = False) -> None:  # fmt: skip
    """The whole text."""
    from store import library

    with _open(workspace) as cat:
        kept = library.find(cat, _kind(kind), name)
    if json or sys.stdout.isatty():
        emit({"kind": kept.kind, "name": kept.name, "text": kept.text}, json, kept.text)
    else:
        sys.stdout.write(kept.text + "\n")


@app.command("keep")
def keep(
    name: Name,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="The text; - reads it from the input.")
    ],
    kind: KindOption = "prompt",
    replace: Annotated[bool, typer.Option("--replace", help="In place of the old text.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Keep a text by name; that of a preset is as 'temperature=0.7 top_p=0.9'."""
    from engine.chat import presets
    from store import library

    which = _kind(kind)
    words = sys.stdin.read() if text == "-" else text
    with _open(workspace) as cat:
        if which == "preset":
            presets.keep(cat, name, presets.read(words), replace=replace)
        else:
            library.keep(cat, which, name, words, replace=replace)
    emit({"kind": which, "name": name}, json, f"kept as {name}")


@app.command("rename")
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW")],
    kind: KindOption = "prompt",
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Give it another name."""
    from store import library

    with _open(workspace) as cat:
        kept = library.rename(cat, _kind(kind), name, new)
    emit({"kind": kept.kind, "name": kept.name}, json, f"{name} is called {kept.name}")


@app.command("delete")
def delete(name: Name, kind: KindOption = "prompt", workspace: WorkspaceOption = None,
           json: JsonOption = False) -> None:  # fmt: skip
    """Forget it."""
    from store import library

    with _open(workspace) as cat:
        kept = library.delete(cat, _kind(kind), name)
    emit({"kind": kept.kind, "deleted": kept.name}, json)
    if not json:
        say(f"deleted {kept.name}: {_short(kept.text)}")


def _short(text: str) -> str:
    words = visible(" ".join(text[:400].split()))
    return words if len(words) <= 70 else words[:69] + "…"
