"""`workbench vote`: judge answers one key an item, now or later, and what the votes come to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.drawing import MaxTokens, Seed, Temperature, TopP
from workbench.output import JsonOption, WorkspaceOption, emit, table

if TYPE_CHECKING:
    from engine.votes.landing import Landed
    from engine.votes.review import Question
    from engine.votes.tally import Tally
    from store.catalogue import Catalogue
    from store.votes import Item, Review


ReviewId = Annotated[
    int | None,
    typer.Argument(metavar="REVIEW", help="Go on with this one.", show_default=False),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="REF",
        show_default=False,
        help="Begin a review of this model; two to compare, or more.",
    ),
]
Run = Annotated[
    str | None,
    typer.Option(
        "--run", metavar="RUN", help="Begin one of a run: base and checkpoints.", show_default=False
    ),
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        metavar="FILE",
        show_default=False,
        help="Questions from rows of a dataset, drawn; else from rows that the run was not "
        "trained on.",
    ),
]
SuiteName = Annotated[
    str | None, typer.Option("--suite", metavar="NAME", help="Questions of a check suite.")
]
Prompt = Annotated[
    list[str] | None, typer.Option("--prompt", metavar="TEXT", help="A question of your own.")
]
Count = Annotated[
    int, typer.Option("--count", metavar="N", min=1, max=10_000, help="How many questions.")
]
Names = Annotated[bool, typer.Option("--names", help="Say which model is which; blind otherwise.")]
Items = Annotated[bool, typer.Option("--items", help="List the items; ask nothing.")]
Export = Annotated[
    Path | None,
    typer.Option(
        "--export", metavar="FILE", show_default=False,
        help="Add the votes to a dataset as rows and save it: chosen and rejected, or good and "
        "bad.",
    ),
]  # fmt: skip


def vote(
    review: ReviewId = None,
    model: Models = None,
    run: Run = None,
    prompts: Prompts = None,
    suite: SuiteName = None,
    prompt: Prompt = None,
    count: Count = 50,
    names: Names = False,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    items: Items = False,
    export: Export = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Say which answers are better, one key an item. Alone: the reviews, and all votes."""
    from engine.chat.client import Sampling
    from engine.votes import review as reviews
    from store import votes
    from store.catalogue import Catalogue
    from store.errors import BadInput
    from workbench.commands.train.telling import number
    from workbench.commands.voting import judge
    from workbench.workspace import find_workspace

    if review is not None and (model or run):
        raise BadInput("vote: a review has its models already", "Leave --model and --run out.")
    with Catalogue.open(find_workspace(workspace)) as cat:
        if run is not None:
            model = [*(model or ()), *reviews.of_run(cat, number(run))]
        if review is None and not model:
            _all(cat, export, json)
            return
        if review is None:
            refs = list(model or ())
            sampling = Sampling(max_tokens, temperature, top_p, seed)
            asked, source = _questions(cat, refs, prompts, suite, prompt, count, seed)
            held = reviews.begin(cat, refs, asked, sampling=sampling, blind=not names,
                                 source=source)  # fmt: skip
        else:
            held = votes.review(cat, review)
        if not items and export is None:
            reviews.fill(cat, held, _progress)
            judge(cat, held, sys.stderr if json else sys.stdout)
        found = votes.items(cat, held.id)
        landed = _export(cat, export, found) if export is not None else None
        _tell(held, found, landed, json, listed=items)


def _questions(
    cat: Catalogue, refs: Sequence[str], prompts: Path | None, suite: str | None,
    prompt: Sequence[str] | None, count: int, seed: int,
) -> tuple[list[Question], str]:  # fmt: skip
    """What is asked, and where that comes from in words."""
    from engine.checks import suite as suites
    from engine.data.rows import Turn
    from engine.votes import review as reviews
    from store.errors import BadInput

    if sum((prompts is not None, suite is not None, bool(prompt))) > 1:
        raise BadInput("vote: the questions come from several places", "Name one of them.")
    if prompt:
        return [(Turn("user", text),) for text in dict.fromkeys(prompt)], ""
    if suite is not None:
        read = suites.load(suite)
        return reviews.of_suite(read, count, seed), read.name
    if prompts is not None:
        return reviews.of_file(cat, prompts, count, seed), prompts.name
    return reviews.held_out(cat, refs, count, seed), "held-out rows"


def _export(cat: Catalogue, path: Path, items: Sequence[Item]) -> Landed:
    from engine.data.dataset import open_dataset
    from engine.votes.landing import land_votes

    landed = land_votes(cat, path, items)
    with closing(open_dataset(cat, path)) as document:
        document.save()
    return landed


def _all(cat: Catalogue, export: Path | None, json: bool) -> None:
    """Every review, and what all votes on two or more answers say, those in chats included."""
    from engine.votes.tally import tally
    from store import votes

    every = votes.all_items(cat)
    compared = [item for item in every if len(item.answers) > 1 and item.answered]
    landed = _export(cat, export, compared) if export is not None else None
    rows, told = [], []
    for held in votes.reviews(cat):
        counts = tally([item for item in every if item.review_id == held.id], held.models)
        rows.append((held.id, held.name, counts.judged, counts.open, counts.items))
        told.append({**_review(held), "judged": counts.judged, "open": counts.open})
    together = tally([item for item in compared if item.vote is not None])
    obj = {"reviews": told, **_counts(together), **_landed(landed)}
    lines = table(("review", "of", "judged", "open", "items"), rows) if rows else ["no reviews yet"]
    if together.pairs:
        lines += ["", "all votes, chats included:", *_pairs(together)]
    emit(obj, json, [*lines, *_landed_words(landed)])


def _tell(
    held: Review, items: Sequence[Item], landed: Landed | None, json: bool, *, listed: bool
) -> None:
    from engine.votes.tally import tally

    counts = tally(items, held.models)
    obj = {**_review(held), **_counts(counts), **_landed(landed)}
    if listed:
        obj["list"] = [_item(item, held) for item in items]
    lines = [f"review {held.id} · {held.name}", _progress_words(counts)]
    if listed:
        rows = [(item.id, *_item_words(item)) for item in items]
        lines += ["", *table(("item", "question", "vote"), rows)]
    lines += _alone(counts) + _pairs(counts) + _strengths(counts)
    if counts.open:
        lines.append(f"workbench vote {held.id} goes on")
    emit(obj, json, [*lines, *_landed_words(landed)])


def _progress_words(counts: Tally) -> str:
    void = f", {counts.void} failed" if counts.void else ""
    return f"{counts.judged} of {counts.items} judged, {counts.open} open{void}"


def _review(held: Review) -> dict[str, object]:
    return {"review": held.id, "name": held.name, "models": held.models, **held.settings}


def _counts(counts: Tally) -> dict[str, object]:
    pairs = [{**asdict(pair), "decided": pair.decided} for pair in counts.pairs]
    return {
        **asdict(counts),
        "alone": [asdict(alone) for alone in counts.alone],
        "pairs": pairs,
        "strengths": [asdict(strength) for strength in counts.strengths],
    }


def _hidden(item: Item, held: Review) -> bool:
    return bool(held.settings.get("blind")) and item.vote is None


def _item(item: Item, held: Review) -> dict[str, object]:
    """One item for programs; who said what only where it may be known."""
    answers = [asdict(answer) for answer in item.answers]
    for answer in answers:
        if _hidden(item, held):
            del answer["model"]
    vote = item.vote
    return {
        "item": item.id,
        "turns": [{"role": role, "content": text} for role, text in item.turns],
        "answers": answers,
        "vote": None if vote is None else vote.verdict,
        "best": None if vote is None else vote.best,
    }


def _item_words(item: Item) -> tuple[str, str]:
    question = " ".join(item.turns[-1][1].split())[:60]
    vote = item.vote
    if vote is None:
        return question, "open" if item.answered else "not asked yet"
    if vote.verdict == "better" and vote.best is not None:
        alone = len(item.answers) == 1
        return question, "good" if alone else f"{item.answers[vote.best].model} better"
    return question, vote.verdict + (f" ({vote.note})" if vote.note else "")


def _alone(counts: Tally) -> list[str]:
    from engine.votes.tally import share

    rows = [(a.model, a.good, a.bad, share(a.rate, a.low, a.high)) for a in counts.alone]
    return table(("model", "good", "bad", "good rate, 95 %"), rows) if rows else []


def _pairs(counts: Tally) -> list[str]:
    from engine.votes.tally import share, verdicts

    rows = [
        (pair.model, pair.against, pair.wins, pair.losses, pair.ties, pair.bad,
         share(pair.rate, pair.low, pair.high), f"{pair.p:.3g}", f"{pair.sign_p:.3g}")
        for pair in counts.pairs
    ]  # fmt: skip
    if not rows:
        return []
    header = (
        "model",
        "against",
        "wins",
        "losses",
        "ties",
        "both bad",
        "wins, 95 %",
        "p",
        "sign test",
    )
    lines = [*table(header, rows), *verdicts(replace(counts, alone=()))]
    if again := sum(pair.again for pair in counts.pairs):
        lines.append(f"not counted: {again:,} more votes on questions that were decided before")
    return [
        *lines,
        "p and interval hold whenever you look; the sign test for a number fixed before",
    ]


def _strengths(counts: Tally) -> list[str]:
    rows = [(s.name, f"{s.log:+.2f}", f"{s.low:+.2f} – {s.high:+.2f}") for s in counts.strengths]
    return ["", *table(("model", "strength", "95 % interval"), rows)] if rows else []


def _landed(landed: Landed | None) -> dict[str, object]:
    if landed is None:
        return {}
    return {"export": str(landed.path), "rows": landed.count, "known": landed.known}


def _landed_words(landed: Landed | None) -> list[str]:
    if landed is None:
        return []
    known = f"; {landed.known:,} votes were there before" if landed.known else ""
    return [f"{landed.count:,} rows added to {landed.path}{known}"]


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        line = f"\r{done} of {total} questions answered"
        sys.stderr.write("\r\x1b[K" if done == total else line)
        sys.stderr.flush()
