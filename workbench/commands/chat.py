"""`workbench chat`: one question, a file of them, or a conversation, with one or more models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, TextIO

import typer

from workbench.commands.drawing import (
    MaxTokens,
    MinP,
    Preset,
    RepetitionPenalty,
    Seed,
    Temperature,
    TopK,
    TopP,
)
from workbench.output import JsonOption, WorkspaceOption, complain, emit

if TYPE_CHECKING:
    from engine.chat.client import Sampling
    from store.catalogue import Catalogue

Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="REF",
        help="starter, hub:org/name, a folder, file.gguf, BASE.gguf+ADAPTER.gguf, run:ID, "
        "run:ID@STEP; an adapter at another strength as run:3@400*0.5; may be repeated.",
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", metavar="TEXT", help="One question; without it, a conversation."),
]
Questions = Annotated[
    str | None,
    typer.Option(
        "--jsonl",
        metavar="FILE",
        help='Questions, one object a line: "prompt" or "messages", and "id"; - is the input.',
    ),
]
Answers = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Where the answers of --jsonl go.")
]
System = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="A system message.")]


def chat(
    model: Models,
    prompt: Prompt = None,
    jsonl: Questions = None,
    out: Answers = None,
    system: System = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    top_k: TopK = 0,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    preset: Preset = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Ask one or more models; their answers stream one below the other.

    With --prompt one question, with --jsonl a file of them, else a conversation in the terminal.
    """
    from engine.chat.client import Sampling
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    _one_way(prompt, jsonl, out, json)
    sampling = Sampling(max_tokens, temperature, top_p, seed, top_k, min_p, repetition_penalty)
    with Catalogue.open(find_workspace(workspace)) as cat:
        if preset is not None:
            sampling = _preset(cat, preset, sampling)
        if prompt is not None:
            _once(cat, model, prompt, system or "", sampling, json)
        elif jsonl is not None:
            _batch(cat, model, jsonl, out, system or "", sampling, json)
        else:
            from workbench.commands.talking import talk

            talk(cat, model, sampling, system or "")


def _preset(cat: Catalogue, name: str, given: Sampling) -> Sampling:
    """The values of a preset, but for those that were given on the command line."""
    from dataclasses import asdict, replace

    from engine.chat import presets
    from engine.chat.client import Sampling

    usual, values = asdict(Sampling()), asdict(given)
    named = presets.whole(presets.find(cat, name).values)
    return replace(given, **{key: named[key] for key in named if values[key] == usual[key]})


def _one_way(prompt: str | None, jsonl: str | None, out: Path | None, json: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        BadInput: in words.
    """
    from store.errors import BadInput

    if prompt is not None and jsonl is not None:
        raise BadInput("--prompt and --jsonl: expected one of them", "Leave one out.")
    if out is not None and jsonl is None:
        raise BadInput("--out: only with --jsonl", "Name the questions: --jsonl FILE.")
    if jsonl is not None and json and out is None:
        raise BadInput("--json with --jsonl: expected --out", "Name a file for the answers.")
    if prompt is None and jsonl is None and (json or not sys.stdin.isatty()):
        raise BadInput(
            "nothing to ask", "Give --prompt TEXT or --jsonl FILE; a conversation needs a terminal."
        )


def _once(
    cat: Catalogue, names: list[str], prompt: str, system: str, sampling: Sampling, json: bool
) -> None:
    from engine.chat import record
    from engine.chat.client import ChatSession
    from engine.chat.protocol import AskRow, Done, Failed
    from engine.data.rows import Turn
    from store.errors import WorkbenchError
    from workbench.commands.talking import stream

    turns = (*([Turn("system", system)] if system else []), Turn("user", prompt))
    with ChatSession.open(cat, names, keep=False) as session:
        rows = [AskRow(column, model.ref, turns) for column, model in enumerate(session.models)]
        answers = stream(session, names, rows, sampling, quiet=json)
    failed = next((answer for answer in answers if isinstance(answer, Failed)), None)
    if failed is not None and not any(isinstance(a, Done) or a.text for a in answers):
        raise WorkbenchError(failed.message, failed.hint)
    chat_id = record.begin(cat, prompt, system=system, sampling=sampling)
    record.exchange(cat, chat_id, prompt, answers, seed=sampling.seed, models=names)
    if failed is not None:
        raise WorkbenchError(failed.message, f"Chat {chat_id} keeps what was said. {failed.hint}")
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
        for name, done in zip(names, answers, strict=True)
        if isinstance(done, Done)
    ]
    if json:
        emit({"answers": told, "chat": chat_id, "seed": sampling.seed}, json)


def _batch(
    cat: Catalogue,
    names: list[str],
    jsonl: str,
    out: Path | None,
    system: str,
    sampling: Sampling,
    json: bool,
) -> None:
    from engine.chat.batch import run

    told = wrong = 0
    with _questions(jsonl) as questions:
        results = run(cat, names, questions, sampling, system)
        with _answers(out) as answers:
            for result in results:
                told, wrong = told + 1, wrong + ("error" in result)
                emit(result, True, file=answers)
                answers.flush()
    if out is not None:
        obj = {"out": str(out), "answers": told - wrong, "errors": wrong}
        emit(obj, json, f"{told - wrong:,} answers and {wrong:,} errors in {out}")
    if wrong:
        complain(f"{wrong:,} of {told:,} were not answered", "Each says why under `error`.")
        raise typer.Exit(2)


@contextmanager
def _questions(jsonl: str) -> Iterator[IO[bytes]]:
    from store.errors import NotFound

    if jsonl == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(jsonl, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise NotFound(f"{jsonl}: {error.strerror}", "Check the path; - is the input.") from error
    with file:
        yield file


@contextmanager
def _answers(out: Path | None) -> Iterator[TextIO]:
    from store.errors import Conflict

    if out is None:
        yield sys.stdout
        return
    try:
        file = out.open("x", encoding="utf-8")
    except OSError as error:
        raise Conflict(f"{out}: {error.strerror}", "Choose another --out.") from error
    try:
        with file:
            yield file
    except BaseException:
        if not out.stat().st_size:  # nobody was asked
            out.unlink()
        raise
