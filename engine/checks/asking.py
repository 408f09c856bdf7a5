"""Asking models many things at once, and nothing twice.

An answer is known again by what decides it: the weights, how they are held, template and
tokenizer, the conversation, the sampling, and the versions of the libraries that compute it. Knows
sessions and the store of answers. Does not judge.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from engine.chat.client import ChatSession, Sampling, launches
from engine.chat.link import Launch
from engine.chat.protocol import MAX_ROWS, AskRow, Done, Failed
from engine.data.rows import Turn
from engine.machine.facts import this_machine, versions
from engine.models.folder import file_sha256
from engine.models.hashes import known_weights_sha256
from engine.models.refs import Model, resolve
from store import answers
from store.answers import Known, Unanswered
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.workspace import Workspace

_KEPT_AFTER = 64
"""Answers that a kill can cost at most."""
_BESIDE = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
)
_ADAPTER = ("adapter_model.safetensors", "adapter_config.json")
_HOLDS = ("quantization", "double_quantization", "dtype", "context", "exact")


class Halted(Exception):
    """For `on_progress` to raise: ends the asking; what was answered by then is kept."""


Asked = list[tuple[str, list[Known | Failed | None]]]
"""Per model its resolved reference and, per conversation, the answer, why there is none, or None
where it was not asked."""


def known(
    cat: Catalogue,
    refs: Sequence[str],
    conversations: Sequence[Sequence[Turn]],
    sampling: Sampling,
) -> tuple[Asked, int]:
    """What was answered or could not be, with nobody asked; and how many answers are missing.

    Answers of a GPU count, or all of them from the processor, never some of each.
    """
    models = [resolve(cat, ref) for ref in refs]
    found = None
    for device in dict.fromkeys((this_machine().device, "cpu")):
        keys = _keys(cat, models, conversations, sampling, device)
        every = {key for column in keys for key in column}
        told: dict[str, Known | Failed] = {
            key: Failed(None, why.message, why.hint)
            for key, why in answers.refused(cat, every).items()
        }
        told |= answers.find(cat, every)
        columns: Asked = [
            (model.ref, [told.get(key) for key in column])
            for model, column in zip(models, keys, strict=True)
        ]
        found = found or (columns, len(every) - len(told))
        if len(told) == len(every):
            return columns, 0
    assert found is not None
    return found


def ask(
    cat: Catalogue,
    refs: Sequence[str],
    conversations: Sequence[Sequence[Turn]],
    sampling: Sampling,
    on_progress: Callable[[int, int], None] | None = None,
    session: Callable[[], ChatSession] | None = None,
) -> list[tuple[str, list[Known | Failed]]]:
    """Every conversation by every model, in as few batches as memory allows.

    What was answered before, here or for another suite, is not asked again: where nothing is new,
    no model is loaded. Answers are kept as they come.

    Args:
        on_progress: hears (answers so far, answers in all).
        session: see `ask_each`.
    Returns:
        per model its resolved reference and, per conversation, the answer or what went wrong.
    Raises:
        WorkbenchError: a model cannot be asked at all, in the words of its first error.
    """
    columns = ask_each(cat, refs, conversations, sampling, on_progress, session)
    refuse_dumb(columns)
    return columns


def refuse_dumb(columns: Sequence[tuple[str, Sequence[Known | Failed | None]]]) -> None:
    """Raises: WorkbenchError where a model answered nothing at all, in its first error's words."""
    for ref, column in columns:
        first = column[0] if column else None
        if isinstance(first, Failed) and all(isinstance(answer, Failed) for answer in column):
            raise WorkbenchError(f"{ref}: {first.message}", first.hint)


def ask_each(
    cat: Catalogue,
    refs: Sequence[str],
    conversations: Sequence[Sequence[Turn]],
    sampling: Sampling,
    on_progress: Callable[[int, int], None] | None = None,
    session: Callable[[], ChatSession] | None = None,
) -> list[tuple[str, list[Known | Failed]]]:
    """As `ask`, also where every conversation of a model fails.

    Args:
        session: gives an open session of these models, and is called only if one is needed; for
            who asks many times.
    """
    models = [resolve(cat, ref) for ref in refs]
    keys = _keys(cat, models, conversations, sampling, this_machine().device)
    every = {key for column in keys for key in column}
    told: dict[str, Known | Failed] = {**answers.find(cat, every)}
    lacking = {
        key: (model, turns)
        for model, column in zip(models, keys, strict=True)
        for key, turns in zip(column, conversations, strict=True)
        if key not in told
    }
    if on_progress is not None:
        on_progress(len(told), len(every))
    if lacking:
        opened = nullcontext(session()) if session else ChatSession.open(cat, refs, keep=False)
        with opened as asked:
            told |= _asked(cat, asked, lacking, sampling, on_progress, len(every))
    return [
        (model.ref, [told[key] for key in column])
        for model, column in zip(models, keys, strict=True)
    ]


def _asked(
    cat: Catalogue,
    session: ChatSession,
    lacking: Mapping[str, tuple[Model, Sequence[Turn]]],
    sampling: Sampling,
    on_progress: Callable[[int, int], None] | None,
    total: int,
) -> dict[str, Known | Failed]:
    """Ask what is missing. Neighbours in a batch do not change an answer, so any order will do."""
    found: dict[str, Known | Failed] = {}
    fresh: dict[str, Known] = {}
    refused: dict[str, Unanswered] = {}
    wanted = list(lacking)
    rows = [AskRow(i, lacking[key][0].ref, tuple(lacking[key][1])) for i, key in enumerate(wanted)]
    try:
        for some in _requests(rows):
            for event in session.ask_rows(some, sampling):
                if isinstance(event, Failed) and event.column is not None:
                    found[wanted[event.column]] = event
                    if not event.died:
                        why = Unanswered(event.message, event.hint)
                        refused[wanted[event.column]] = why
                elif isinstance(event, Done):
                    given = Known(event.text, event.tokens, event.stop)
                    found[wanted[event.column]] = given
                    if event.stop != "stopped":
                        fresh[wanted[event.column]] = given
                else:
                    continue
                if on_progress is not None:
                    on_progress(total - len(wanted) + len(found), total)
                if len(fresh) >= _KEPT_AFTER:
                    answers.keep(cat, fresh)
                    fresh = {}
    finally:
        if fresh:
            answers.keep(cat, fresh)
        if refused:
            answers.keep_refused(cat, refused)
    return found


def _requests(rows: Sequence[AskRow]) -> Iterator[list[AskRow]]:
    """One model at a time: a batch that mixes adapters runs every adapter on a piece of it."""
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        for start in range(0, len(own), MAX_ROWS):
            yield own[start : start + MAX_ROWS]


def _keys(
    cat: Catalogue,
    models: Sequence[Model],
    conversations: Sequence[Sequence[Turn]],
    sampling: Sampling,
    device: str,
) -> list[list[str]]:
    """Per model, what each of its answers on a device is known by."""
    held = [
        _identity(cat.workspace, model, launch, device)
        for model, launch in zip(models, launches(cat.workspace, models), strict=True)
    ]
    return [[_key(one, turns, sampling) for turns in conversations] for one in held]


def _identity(workspace: Workspace, model: Model, launch: Launch, device: str) -> str:
    """What decides a model's answers, as a hash."""
    facts: dict[str, object] = {
        "holds": {name: launch.spec[name] for name in _HOLDS if name in launch.spec},
        "versions": versions(),
        "device": device,
    }
    if model.gguf is not None:
        found = model.gguf.stat()
        facts["file"] = [str(model.gguf.resolve()), found.st_size, found.st_mtime_ns, found.st_ino]
    else:
        assert model.base is not None
        facts["weights"] = known_weights_sha256(workspace, model.base)
        facts["beside"] = _hashes(model.base, _BESIDE)
    if model.adapter is not None:
        file = model.adapter if model.gguf is not None else None
        facts["adapter"] = file_sha256(file) if file else _hashes(model.adapter, _ADAPTER)
        if model.strength != 1:
            facts["strength"] = model.strength
    return _sha256(facts)


def _hashes(folder: Path, names: Sequence[str]) -> dict[str, str]:
    files = {name: folder / name for name in names}
    return {name: file_sha256(file) for name, file in files.items() if file.is_file()}


def _key(identity: str, turns: Sequence[Turn], sampling: Sampling) -> str:
    return _sha256([identity, [(turn.role, turn.text) for turn in turns], asdict(sampling)])


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
