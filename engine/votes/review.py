"""Reviews: questions and answers laid out so that a person judges each with one key.

Knows where questions come from, how models meet in pairs and on which side, and gets the answers.
Does not know keys or statistics. With one model each answer is good or bad; with more, each
question shows two of them.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from engine.chat.client import ChatSession, Sampling
from engine.chat.protocol import MAX_ROWS, AskRow, Done, Failed
from engine.checks.series import steps_of
from engine.checks.suite import Suite
from engine.data.dataset import open_dataset
from engine.data.rows import Row, Turn
from engine.data.split import frozen
from engine.models.refs import resolve
from store import runs, snapshots, votes
from store.catalogue import Catalogue
from store.errors import BadInput
from store.votes import Answer, Item, Review

Question = tuple[Turn, ...]
SAME = "both said the same"
_CHECKPOINTS = 3
"""More would each be judged too rarely in fifty questions."""
_FIRST, CHUNK = 2, 16
"""Items asked at once, few at first, so that judging begins soon: those before are kept when the
asking ends early."""


def begin(
    cat: Catalogue,
    refs: Sequence[str],
    questions: Sequence[Question],
    *,
    sampling: Sampling,
    blind: bool = True,
    source: str = "",
) -> Review:
    """Lay out a review. The seed also decides who meets whom, and on which side.

    Raises:
        BadInput: no questions, or a model named twice. WorkbenchError: a reference refuses.
    """
    models = [resolve(cat, ref).ref for ref in refs]
    if len(set(models)) < len(models):
        raise BadInput(
            f"{' and '.join(models)}: a model cannot be compared with itself",
            "Name different models or checkpoints.",
        )
    if not questions:
        raise BadInput(
            "there are no questions to ask", "Name a dataset, a suite, or --prompt TEXT."
        )
    drawn = random.Random(sampling.seed)
    settings = {"blind": blind, "source": source, "sampling": asdict(sampling)}
    name = " and ".join(models) + (f" on {source}" if source else "")
    laid = [
        ([(turn.role, turn.text) for turn in turns], asked)
        for turns, asked in zip(questions, _meetings(models, len(questions), drawn), strict=True)
    ]
    return votes.create_review(cat, name, models, settings, laid)


def _meetings(models: Sequence[str], count: int, drawn: random.Random) -> list[tuple[str, ...]]:
    """Who answers each question: every pair as often as any other, on either side by chance."""
    pairs: list[tuple[str, ...]] = [tuple(models)]
    if len(models) > 1:
        pairs = list(itertools.combinations(models, 2))
    met = [pairs[place % len(pairs)] for place in range(count)]
    drawn.shuffle(met)
    return [tuple(drawn.sample(pair, len(pair))) for pair in met]


def fill(
    cat: Catalogue, review: Review, on_progress: Callable[[int, int], None] | None = None
) -> list[Item]:
    """Ask what has not been asked yet; what came is kept should this end early.

    Answers that are the same need no judge: they are a tie. An answer that failed leaves nothing
    to judge, and says why.

    Args:
        on_progress: hears (items answered, items in all).
    """
    items = votes.items(cat, review.id)
    waiting = [item for item in items if not item.answered]
    if waiting:
        sampling = Sampling(**review.settings["sampling"])
        with ChatSession.open(cat, review.models, keep=False) as session:
            start, size = 0, _FIRST
            while start < len(waiting):
                if on_progress is not None:
                    on_progress(len(items) - len(waiting) + start, len(items))
                _ask(cat, session, waiting[start : start + size], sampling)
                start, size = start + size, min(2 * size, CHUNK)
        if on_progress is not None:
            on_progress(len(items), len(items))
    return votes.items(cat, review.id)


def _ask(cat: Catalogue, session: ChatSession, items: Sequence[Item], sampling: Sampling) -> None:
    width = max(len(item.answers) for item in items)
    rows = [
        AskRow(
            number * width + place,
            answer.model,
            tuple(Turn(role, text) for role, text in item.turns),
        )
        for number, item in enumerate(items)
        for place, answer in enumerate(item.answers)
    ]
    assert len(rows) <= MAX_ROWS
    said: dict[int, Done | Failed] = {}
    # One model at a time, as in `engine.checks.asking`.
    for model in dict.fromkeys(row.model for row in rows):
        for event in session.ask_rows([row for row in rows if row.model == model], sampling):
            if isinstance(event, Done | Failed) and event.column is not None:
                said[event.column] = event
    for number, item in enumerate(items):
        found = [said.get(number * width + place) for place in range(len(item.answers))]
        _keep(cat, item, found)


def _keep(cat: Catalogue, item: Item, said: Sequence[Done | Failed | None]) -> None:
    if any(event is None for event in said):
        return  # stopped on the way
    answers = [
        Answer(old.model, event.text, event.tokens, event.stop)
        if isinstance(event, Done)
        else Answer(old.model, "")
        for old, event in zip(item.answers, said, strict=True)
    ]
    votes.answer(cat, item.id, answers)
    failed = next((event for event in said if isinstance(event, Failed)), None)
    if failed is not None:
        votes.vote(cat, item.id, "void", note=failed.message)
    elif len(answers) > 1 and len({answer.text for answer in answers}) == 1:
        votes.vote(cat, item.id, "tie", note=SAME)


def of_run(cat: Catalogue, run_id: int) -> list[str]:
    """The base and some checkpoints of a run: the first, the one that it means, those between.

    Raises:
        NotFound: no such run, or it has saved nothing.
    """
    steps = steps_of(cat, run_id)
    best = resolve(cat, f"run:{run_id}").step
    spread = [steps[round(i * (len(steps) - 1) / (_CHECKPOINTS - 1))] for i in range(_CHECKPOINTS)]
    if best in steps and best not in spread:
        spread[min(range(_CHECKPOINTS), key=lambda i: abs(spread[i] - (best or 0)))] = best or 0
    return [runs.get(cat, run_id).model, *(f"run:{run_id}@{s}" for s in sorted({*spread}))]


# Questions


def of_suite(suite: Suite, count: int, seed: int = 0) -> list[Question]:
    """Some prompts of a suite."""
    every = list(dict.fromkeys(tuple(prompt.turns) for _, prompt in suite.asked))
    return random.Random(seed).sample(every, min(count, len(every)))


def of_file(cat: Catalogue, path: Path | str, count: int, seed: int = 0) -> list[Question]:
    """The questions of some rows of a dataset, drawn at random; each question once."""
    with open_dataset(cat, path) as document:
        document.grow()
        some = min(document.count, 100 + 20 * count)
        numbers = random.Random(seed).sample(range(1, document.count + 1), some)
        return _first(_asked(document.row(number) for number in numbers), count)


def held_out(cat: Catalogue, refs: Sequence[str], count: int, seed: int = 0) -> list[Question]:
    """Questions from the rows that the first run among the models was evaluated on, not trained.

    Raises:
        BadInput: no model is a run with held-out rows.
    """
    for ref in refs:
        model = resolve(cat, ref)
        if model.run_id is None:
            continue
        snapshot = runs.get(cat, model.run_id).snapshot
        if snapshot is None:
            continue
        rows = frozen.load(snapshots.get(cat, snapshot), "eval")
        random.Random(seed).shuffle(rows)
        found = _first(_asked(iter(rows)), count)
        if found:
            return found
    raise BadInput(
        f"{', '.join(refs)}: no held-out rows to ask about",
        "Name the questions: --prompts FILE, --suite NAME, or --prompt TEXT.",
    )


def _first(questions: Iterator[Question], count: int) -> list[Question]:
    found: dict[Question, None] = {}
    for question in questions:
        if len(found) == count:
            break
        found[question] = None
    return list(found)


def _asked(rows: Iterator[Row]) -> Iterator[Question]:
    """What comes before the last answer of a row, where a question in plain text asks for it."""
    for row in rows:
        turns = row.turns
        if row.prompt_turns:
            turns = turns[: row.prompt_turns]
        elif turns and turns[-1].role == "assistant":
            turns = turns[:-1]
        plain = not row.tools and not any(turn.extra for turn in turns)
        if row.error is None and plain and turns and turns[-1].role == "user":
            yield tuple(Turn(turn.role, turn.text) for turn in turns)
