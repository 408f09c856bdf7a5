"""`workbench chats`: old chats, found, shown, taken away, renamed, deleted."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from store.visible import visible
from workbench.output import JsonOption, WorkspaceOption, emit, say, table

if TYPE_CHECKING:
    from store.catalogue import Catalogue
    from store.chats import Turn

app = typer.Typer(
    help="Old chats: list and search them, show, export, rename, delete.",
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)

Id = Annotated[int, typer.Argument(metavar="ID", help="A chat, as the list numbers it.")]
All = Annotated[bool, typer.Option("--all", help="Every branch, not only the one in view.")]


def _open(workspace: Path | None) -> Catalogue:
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    return Catalogue.open(find_workspace(workspace))


@app.callback()
def chats(
    context: typer.Context,
    find: Annotated[
        str, typer.Option("--find", metavar="WORDS", help="Chats that have all of these words.")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="So many at most, newest first.")
    ] = 50,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """List old chats, the one asked last first; --find searches all that was asked and said."""
    from store.chatlist import listed

    if context.invoked_subcommand is not None:
        return
    with _open(workspace) as cat:
        found = listed(cat, find)
    shown = found[:limit]
    told = [
        {
            "id": one.chat.id,
            "title": one.chat.title,
            "models": list(one.chat.models),
            "questions": one.questions,
            "created": one.chat.created,
            "changed": one.chat.changed,
            "passage": one.passage,
        }
        for one in shown
    ]
    emit({"chats": told, "found": len(found)}, json)
    if json:
        return
    if not found:
        say(f"No chat has '{find}'." if find else "No chats yet: workbench chat --model starter")
        return
    lines = [
        (one.chat.id, _when(one.chat.changed), one.questions, visible(one.chat.title) or "–",
         visible(", ".join(dict.fromkeys(filter(None, one.chat.models)))), visible(one.passage))
        for one in shown
    ]  # fmt: skip
    head = ("id", "asked last", "questions", "title", "models", "found" if find else "")
    for line in table(head, lines):
        say(line)
    if len(found) > limit:
        say(f"{len(found):,} in all; --limit shows more")


@app.command("show")
def show(id: Id, every: All = False, workspace: WorkspaceOption = None,
         json: JsonOption = False) -> None:  # fmt: skip
    """A conversation, every column's answers below each question."""
    from engine.chat import export
    from store import chats

    with _open(workspace) as cat:
        chat = chats.get(cat, id)
        branches = export.paths(cat, chat, every=every)
    told = [
        [
            {"question": step.question.text, "system": step.question.system,
             "answers": [_answer(one) for one in step.answers.values()]}
            for step in path
        ]
        for path in branches
    ]  # fmt: skip
    head = {"id": id, "title": chat.title, "models": list(chat.models), "branches": told}
    text = "\n---\n\n".join(export.markdown(chat, path) for path in branches)
    emit(head, json, text.rstrip("\n") or f"Nothing was asked in chat {id}.")


@app.command("export")
def export_(
    id: Id,
    format: Annotated[
        str, typer.Option("--format", metavar="md|jsonl", help="Without it as --out ends, else md.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A new file; else it is printed.")
    ] = None,
    every: All = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """A chat as Markdown, or as JSONL with one conversation a column, ready for the Data room."""
    from engine.chat import export
    from store.errors import BadInput

    form: export.Format | None = None
    if format:
        form = next((known for known in export.FORMATS if known == format.lower()), None)
        if form is None:
            raise BadInput(f"--format {format}: expected md or jsonl", "For example: --format md")
    with _open(workspace) as cat:
        if out is not None:
            form = export.write(cat, id, out, form=form, every=every)
            emit({"chat": id, "out": str(out), "format": form}, json, f"chat {id} is in {out}")
            return
        form = form or "md"
        text = export.told(cat, id, form, every=every)
    if json:
        emit({"chat": id, "format": form, "text": text}, json)
    elif sys.stdout.isatty():
        say(text.rstrip("\n"))
    else:
        sys.stdout.write(text)


@app.command("rename")
def rename(
    id: Id,
    title: Annotated[str, typer.Argument(metavar="TITLE")],
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Give a chat another title."""
    from store import chats

    with _open(workspace) as cat:
        chat = chats.rename(cat, id, title)
    emit({"id": id, "title": chat.title}, json, f"chat {id} is called {chat.title}")


@app.command("delete")
def delete(id: Id, workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Forget a chat with all its branches. Votes and examples that were made of it stay."""
    from store import chats

    with _open(workspace) as cat:
        chats.delete(cat, id)
    emit({"deleted": id}, json, f"chat {id} is deleted")


def _answer(turn: Turn) -> dict[str, Any]:
    from dataclasses import asdict

    left_out = ("id", "chat_id", "position", "role", "parent", "system", "seed")
    return {key: value for key, value in asdict(turn).items() if key not in left_out}


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
