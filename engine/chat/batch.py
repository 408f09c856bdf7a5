"""A file of questions, one JSON object a line, and the answers of all models to each.

Knows lines, and how many of them to ask at once: those that have come by the time the last ones
are answered. A line that cannot be asked becomes an error with its number; the others go on.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

import msgspec

from engine.chat.client import ChatSession, Sampling, answer
from engine.chat.messages import BadField, ChatMessage, read, turns
from engine.chat.protocol import Done, Failed
from engine.checks.asking import ask_each
from engine.data.rows import MAX_ROW_BYTES, Turn
from engine.models.refs import resolve
from store.answers import Known
from store.catalogue import Catalogue
from store.errors import BadInput

AT_ONCE = 64
"""Most lines that are asked together; results are told when all of them are answered."""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prompt: str | None = None
    messages: list[ChatMessage] | None = None
    id: str | int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One line: what it asks, or why it cannot be asked.

    Attributes:
        id: what the line calls itself.
    """

    line: int
    id: str | int | None
    turns: tuple[Turn, ...]
    error: BadInput | None = None


def run(
    cat: Catalogue, refs: Sequence[str], file: IO[bytes], sampling: Sampling, system: str = ""
) -> Iterator[dict[str, object]]:
    """One result a line and model, in order and as they come, as JSON objects.

    A result has `line`, `id` where the line has one, `model` and `ref`, and either `text`,
    `tokens` and `stop`, or `error` and `hint`. Greedy answers that were given before are not
    asked for again; where nothing is new, no model is loaded.

    Args:
        system: for conversations that begin without a system message.
    Raises:
        WorkbenchError: the models cannot be asked at all.
    """
    # What `run:7` means may change while it is being trained; here it means one thing.
    models = [(name, resolve(cat, name).ref) for name in refs]
    return _answered(cat, models, file, sampling, system)


def _answered(
    cat: Catalogue,
    models: Sequence[tuple[str, str]],
    file: IO[bytes],
    sampling: Sampling,
    system: str,
) -> Iterator[dict[str, object]]:
    refs = [ref for _, ref in models]
    with ExitStack() as stack:
        held: list[ChatSession] = []

        def session() -> ChatSession:
            if not held:
                held.append(stack.enter_context(ChatSession.open(cat, refs, keep=False)))
            return held[0]

        for chunk in _chunks(file):
            questions = [parse(number, raw, system) for number, raw in chunk]
            asked = [question.turns for question in questions if question.error is None]
            columns: list[list[Known | Done | Failed]]
            if sampling.temperature == 0:
                told = ask_each(cat, refs, asked, sampling, session=session)
                columns = [list(column) for _, column in told]
            else:
                rows = answer(session(), asked, sampling) if asked else []
                columns = [[row[i] for row in rows] for i in range(len(refs))]
            answers = [iter(column) for column in columns]
            for question in questions:
                for (name, ref), column in zip(models, answers, strict=True):
                    found = question.error if question.error is not None else next(column)
                    yield _result(question, name, ref, found)


def parse(number: int, raw: bytes, system: str = "") -> Question:
    """Read one line; never raises."""
    try:
        if len(raw) > MAX_ROW_BYTES:
            raise BadField(f"longer than {MAX_ROW_BYTES:,} bytes", None, "Ask about less at once.")
        line = read(raw, _Line)
        if (line.prompt is None) == (line.messages is None):
            raise BadField("expected either prompt or messages", None, 'As {"prompt": "Hello"}.')
        asked = turns(
            line.messages if line.messages is not None else [ChatMessage("user", line.prompt or "")]
        )
    except BadInput as error:
        error.message = f"line {number}: {error.message}"
        return Question(number, None, (), error)
    if system and asked[0].role != "system":
        asked = (Turn("system", system), *asked)
    return Question(number, line.id, asked)


def _result(
    question: Question, name: str, ref: str, found: Known | Done | Failed | BadInput
) -> dict[str, object]:
    head: dict[str, object] = {"line": question.line}
    if question.id is not None:
        head["id"] = question.id
    head |= {"model": name, "ref": ref}
    if isinstance(found, Failed):
        where = f"line {question.line}: {found.message}"
        return {**head, "error": where, "hint": found.hint}
    if isinstance(found, BadInput):
        return {**head, "error": found.message, "hint": found.hint}
    return {**head, "text": found.text, "tokens": found.tokens, "stop": found.stop}


def _chunks(file: IO[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """The lines that are not blank, as many together as are there without waiting."""
    arrived: queue.Queue[tuple[int, bytes] | OSError | None] = queue.Queue(4 * AT_ONCE)

    def listen() -> None:
        try:
            for line in _lines(file):
                arrived.put(line)
            arrived.put(None)
        except OSError as error:
            arrived.put(error)

    # Who asks may stop early, and a pipe may never say another word: nobody waits for this one.
    threading.Thread(target=listen, name="lines", daemon=True).start()
    ended = False
    while not ended:
        chunk: list[tuple[int, bytes]] = []
        while len(chunk) < AT_ONCE and not (chunk and arrived.empty()):
            line = arrived.get()
            if isinstance(line, OSError):
                raise line
            if line is None:
                ended = True
                break
            chunk.append(line)
        if chunk:
            yield chunk


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while raw := file.readline(MAX_ROW_BYTES + 2):
        number += 1
        rest = raw
        while rest and not rest.endswith(b"\n"):  # its tail, which is not kept
            rest = file.readline(MAX_ROW_BYTES)
        line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        if line.strip():
            yield number, line.rstrip(b"\r\n")
