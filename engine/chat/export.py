"""A chat as a file: Markdown to read, or JSONL with a conversation a column to train on.

Knows what was recorded. Texts go into a file as they are; who prints them sees to it that a
terminal does not obey them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from engine.chat.presets import words
from store import chats
from store.catalogue import Catalogue
from store.chats import Chat, Turn
from store.errors import BadInput, Conflict, NotFound
from store.rounds import Round, Tree
from store.visible import visible

Format = Literal["md", "jsonl"]
FORMATS: tuple[Format, ...] = ("md", "jsonl")


def paths(cat: Catalogue, chat: Chat, *, every: bool = False) -> list[list[Round]]:
    """The branch in view, or every branch, oldest first."""
    tree = Tree(chats.turns(cat, chat.id))
    ends = tree.leaves() if every else [chat.head]
    return [tree.path(end) for end in ends if end is not None]


def told(cat: Catalogue, chat_id: int, form: Format, *, every: bool = False) -> str:
    """The whole file as text, a newline at its end.

    Args:
        every: all branches instead of the one in view.
    Raises:
        NotFound: there is no such chat. BadInput: it has nothing that can be told.
    """
    chat = chats.get(cat, chat_id)
    branches = paths(cat, chat, every=every)
    if form == "md":
        text = "\n---\n\n".join(markdown(chat, path) for path in branches)
    else:
        made = [row for path in branches for row in rows(chat, path)]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
    if not text:
        raise BadInput(
            f"chat {chat_id}: there is no answer in it", "Ask something first, or choose another."
        )
    return text


def write(cat: Catalogue, chat_id: int, path: Path, *, form: Format | None = None,
          every: bool = False) -> Format:  # fmt: skip
    """Write a new file, in the format that its ending says.

    Raises:
        BadInput: the ending says none. Conflict: the file is there. NotFound: the folder is not.
    """
    ending = path.suffix.removeprefix(".").lower()
    form = form or next((known for known in FORMATS if known == ending), None)
    if form is None:
        raise BadInput(
            f"{path}: expected a name that ends in .md or .jsonl",
            "Markdown is for reading, JSONL has one conversation a column for the Data room.",
        )
    text = told(cat, chat_id, form, every=every)
    try:
        with path.open("x", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except FileExistsError as error:
        raise Conflict(f"{path}: is there already", "Give another name.") from error
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}", "Check the path.") from error
    return form


def rows(chat: Chat, path: Sequence[Round]) -> Iterator[dict[str, Any]]:
    """A conversation for each column that answered, as the Data room reads `messages`.

    A question that a column did not answer is not part of that column's conversation.
    """
    for column in columns(path):
        said = [step for step in path if column in step.answers]
        last = said[-1].answers[column]
        system = said[-1].question.system
        messages = [{"role": "system", "content": system}] if system else []
        for step in said:
            messages.append({"role": "user", "content": step.question.text})
            messages.append({"role": "assistant", "content": step.answers[column].text})
        yield {
            "messages": messages,
            "chat": chat.id,
            "column": column,
            "model": last.model,
            "sampling": last.sampling,
        }


def columns(path: Iterable[Round]) -> list[str]:
    """The columns that answered anything, by letter."""
    return sorted({column for step in path for column in step.answers})


def markdown(chat: Chat, path: Sequence[Round]) -> str:
    """A branch to read: every question, below it each column's answer and how it was drawn."""
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime(chat.created))
    said = [f"# {visible(chat.title) or 'Untitled'}", f"Chat {chat.id}, begun {date}."]
    system = ""
    for step in path:
        if (step.question.system or "") != system:
            system = step.question.system or ""
            said += ["### System", system or "*none from here on*"]
        said += ["### User", step.question.text]
        for column, answer in step.answers.items():
            said += [f"### {column} · {visible(answer.model or '?')}", answer.text, _below(answer)]
    return "\n\n".join(said) + "\n"


def _below(answer: Turn) -> str:
    parts = [] if answer.tokens is None else [f"{answer.tokens:,} tokens"]
    if answer.sampling is not None:
        parts.append(words({k: v for k, v in answer.sampling.items() if k != "max_tokens"}))
    if answer.stop:
        parts.append(answer.stop)
    return f"*{' · '.join(parts)}*" if parts else ""
