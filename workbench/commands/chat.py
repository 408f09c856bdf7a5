"""`workbench chat`: one question, one or more models, side by side in one batch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.output import JsonOption, WorkspaceOption, emit, say

if TYPE_CHECKING:
    from engine.chat.client import ChatSession, Sampling
    from engine.chat.protocol import Done
    from engine.data.rows import Turn

Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="REF",
        help="starter, hub:org/name, a folder, file.gguf, run:ID or run:ID@STEP; may be repeated.",
    ),
]


def chat(
    model: Models,
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="The question.")],
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="A system message.")
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", metavar="N", min=1, max=1_000_000, help="Longest answer.")
    ] = 256,
    temperature: Annotated[
        float,
        typer.Option(
            "--temperature", metavar="T", min=0, max=100, help="0 is the likeliest token."
        ),
    ] = 0.0,
    top_p: Annotated[
        float, typer.Option("--top-p", metavar="P", min=1e-6, max=1, help="Nucleus of sampling.")
    ] = 1.0,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=2**53, help="Repeats an answer.")
    ] = 0,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Ask one or more models a question; their answers stream one below the other."""
    from engine.chat import record
    from engine.chat.client import ChatSession, Sampling
    from engine.data.rows import Turn
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    sampling = Sampling(max_tokens, temperature, top_p, seed)
    turns = [*([Turn("system", system)] if system else []), Turn("user", prompt)]
    with Catalogue.open(find_workspace(workspace)) as cat:
        with ChatSession.open(cat, model, keep=False) as session:
            answers = _ask(session, model, turns, sampling, quiet=json)
        chat_id = record.begin(cat, prompt, system=system or "", sampling=sampling)
        record.exchange(cat, chat_id, prompt, answers, seed=seed)
    told = [
        {
            "model": name,
            "ref": done.model,
            "text": done.text,
            "tokens": done.tokens,
            "seconds": done.seconds,
            "first_token_seconds": done.first_token_seconds,
            "stop": done.stop,
        }
        for name, done in zip(model, answers, strict=True)
    ]
    if json:
        emit({"answers": told, "chat": chat_id, "seed": seed}, json)


def _ask(
    session: ChatSession, names: list[str], turns: list[Turn], sampling: Sampling, *, quiet: bool
) -> list[Done]:
    """The answers in the order of the models; the first unfinished one is shown as it comes."""
    from engine.chat.protocol import Delta, Done, Failed
    from store.errors import WorkbenchError

    done: dict[int, Done] = {}
    waiting: dict[int, list[str]] = {column: [] for column in range(len(names))}
    shown = -1
    for event in session.ask(turns, sampling):
        match event:
            case Failed():
                raise WorkbenchError(event.message, event.hint)
            case Delta():
                waiting[event.column].append(event.text)
            case Done():
                done[event.column] = event
        if quiet:
            continue
        while True:
            if shown >= 0:
                _write("".join(waiting[shown]))
                waiting[shown].clear()
                if shown not in done:
                    break
                _close(done[shown])
            shown += 1
            if shown == len(names):
                break
            if len(names) > 1:
                say(f"{chr(ord('A') + shown)} · {names[shown]}")
    return [done[column] for column in range(len(names))]


def _write(text: str) -> None:
    from store.visible import visible

    sys.stdout.write(visible(text, keep_newlines=True))
    sys.stdout.flush()


def _close(done: Done) -> None:
    speed = done.tokens / done.seconds if done.seconds > 0 else 0.0
    say(f"\n  {done.tokens} tokens · {speed:.0f} tok/s · {done.stop}")
