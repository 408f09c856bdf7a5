"""`workbench serve`: a model behind OpenAI's interface, for programs on this machine."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from workbench.output import JsonOption, WorkspaceOption, emit, say

_LAST_SECONDS = 3.0
"""How long an answer may take to notice that the server ends."""


def serve(
    ref: Annotated[
        str,
        typer.Argument(
            metavar="REF",
            help="starter, hub:org/name, a folder, file.gguf, BASE.gguf+ADAPTER.gguf, run:ID or "
            "run:ID@STEP.",
        ),
    ],
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes any that is free."),
    ] = 8000,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="TEXT",
            envvar="WORKBENCH_KEY",
            help="What clients must send as their API key.",
            show_default=False,
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Answer OpenAI's chat completions on 127.0.0.1 until ctrl+c."""
    from engine.chat.client import ChatSession
    from engine.models.refs import resolve
    from engine.serve.answering import Answerer
    from engine.serve.server import Server
    from store.catalogue import Catalogue
    from store.errors import BadInput
    from workbench.workspace import find_workspace

    if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key != ""):
        raise BadInput(
            "--key: expected visible ASCII without spaces around it",
            "Choose another, or leave it out.",
        )
    with Catalogue.open(find_workspace(workspace)) as cat:
        model = resolve(cat, ref)
        server = Server(port, key, None if json else say)
        try:
            session = ChatSession.open(cat, [ref], keep=False)
        except BaseException:
            server.server_close()
            raise
    answerer = Answerer(session)
    # A path says more than a client needs to know; runs are called by their step.
    name = model.label if model.ref.startswith("/") else model.ref
    server.open(answerer, name, frozenset({ref, model.ref}))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        words = f"{name} at {server.url} · ctrl+c ends it"
        emit({"url": server.url, "model": name}, json, words)
        sys.stdout.flush()
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        answerer.end(_LAST_SECONDS)
        server.all_answered(_LAST_SECONDS)
    finally:
        server.server_close()
        session.close()
