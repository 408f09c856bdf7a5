"""The rows of a run as examples, and everything about them that is said or refused before step 1.

Knows the snapshot, the renderer and the base's vocabulary. Does not know torch or training.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from engine.data.rows import Row
from engine.data.split import snapshot as snapshots
from engine.diagnosis import before, facts
from engine.models.folder import describe, file_sha256
from engine.render import Renderer
from engine.render.purposes import Method
from engine.train.examples import IGNORED, Encoded, Example, encode
from engine.train.recipe import Recipe
from engine.train.spec import Spec
from store.errors import BadInput, Conflict
from store.rundb import RunWriter
from store.snapshots import Snapshot

_NOTES_LISTED = 50


@dataclass(frozen=True, slots=True)
class Rows:
    """What a run trains on and what measures it: rows as they were written, and as examples."""

    train: list[Row]
    held: list[Row]
    examples: list[Example]
    held_examples: list[Example]

    @property
    def tokens(self) -> int:
        """Tokens of one pass over the rows to train on, prompts included."""
        return sum(example.tokens for example in self.examples)


def prepare(spec: Spec, renderer: Renderer, writer: RunWriter) -> Rows:
    """Render the snapshot, and write down what of it is left out or cut.

    Raises:
        BadInput: no row teaches anything, or the tokenizer and the base do not belong together.
        Conflict: the frozen rows were altered.
    """
    _same_rows(spec)
    _say_changed(spec, writer)
    recipe = spec.settings
    length, method = recipe.max_length, cast("Method", recipe.method)
    train, held = (snapshots.load(spec.snapshot, part) for part in ("train", "eval"))
    examples, held_examples = (encode(rows, renderer, length, method) for rows in (train, held))
    meta = snapshots.read_meta(spec.snapshot)
    listed = (*meta.excluded, *meta.eval_excluded)
    notes = [item.reason for item in listed]
    notes += [note for _, note in (*examples.notes, *held_examples.notes)]
    unlisted = max((meta.left_out or 0) - len(listed), 0)
    rendered = examples.rows + held_examples.rows
    left_out = len(listed) + unlisted + len(train) + len(held) - rendered
    _list_notes(writer, notes, left_out, len(notes) + unlisted)
    _say_split(writer, spec)
    if method == "text":
        writer.event("rows", _blocks(examples, held_examples, length))
    if not examples.examples:
        raise BadInput("no training row has a token to train on", "Look at the rows' mask.")
    refuse_strange_ids(Path(spec.base), (*examples.examples, *held_examples.examples), renderer)
    rows = Rows(train, held, examples.examples, held_examples.examples)
    _say_doubts(spec, rows, writer)
    return rows


def _blocks(train: Encoded, held: Encoded, length: int) -> str:
    """How the documents of a text run became what it trains on."""
    tokens = sum(example.tokens for example in train.examples)
    return (
        f"{train.rows:,} documents lie end to end in the order of the file, each with its "
        f"end-of-text, cut into {len(train.examples):,} blocks of {length:,} tokens "
        f"({tokens:,} in all; each begins with the last token of the one before, so that every "
        f"token is trained once); {held.rows:,} held-out documents in {len(held.examples):,} blocks"
    )


def refuse_strange_rows(base: Path, snapshot: Snapshot, renderer: Renderer, recipe: Recipe) -> None:
    """Before anything is started: see that the base has an embedding for every token of the rows.

    Only a tokenizer that is larger than the base can bring others.

    Raises:
        BadInput: naming the first line and the token.
    """
    if not 0 < describe(base).vocabulary < renderer.vocabulary_size:
        return
    for part in ("train", "eval"):
        rows = snapshots.load(snapshot, part)
        method = cast("Method", recipe.method)
        refuse_strange_ids(
            base, encode(rows, renderer, recipe.max_length, method).examples, renderer
        )


def refuse_strange_ids(base: Path, examples: Sequence[Example], renderer: Renderer) -> None:
    """See that the base has an embedding for every token.

    Raises:
        BadInput: naming the first line and the token.
    """
    vocabulary = describe(base).vocabulary
    for example in examples:
        worst = max(int(sequence.ids.max()) for sequence in example.sequences)
        if 0 < vocabulary <= worst:
            raise BadInput(
                f"{base}: line {example.row} has token {worst} ({renderer.decode([worst])!r}), but "
                f"the model has only {vocabulary:,} embeddings (vocab_size in config.json)",
                "The tokenizer belongs to another model, or tokens were added to it alone: use "
                "the model's own tokenizer, or name new tokens in add_tokens.",
            )


def source_mark(path: Path) -> tuple[int, int] | None:
    """Size and time of a dataset's file; None where it is no single file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if path.is_file() else None


def _same_rows(spec: Spec) -> None:
    meta, folder = snapshots.read_meta(spec.snapshot), Path(spec.snapshot.path)
    for part, recorded in (("train", meta.train_sha256), ("eval", meta.eval_sha256)):
        path = folder / f"{part}.jsonl"
        if not path.is_file():
            raise Conflict(f"{path}: the run's frozen rows are gone", "Put the file back.")
        if file_sha256(path) != recorded:
            raise Conflict(
                f"{path}: the run's frozen rows were altered (sha256 differs)",
                "Put the file back, or start a new run.",
            )


def _say_changed(spec: Spec, writer: RunWriter) -> None:
    """Say where the dataset is another one by now: the run is not affected, the next one is."""
    if spec.source_mark is None:
        return
    path = Path(spec.snapshot.source)
    now = source_mark(path)
    if now != spec.source_mark:
        what = "is gone" if now is None else "was changed"
        text = f"{path} {what} since the run began; it trains on the rows as they were then"
        writer.event("warning", text, level="warn")


def _list_notes(writer: RunWriter, notes: list[str], left_out: int, count: int) -> None:
    """Say of each row that was left out or cut what happened to it, before step 1.

    Args:
        notes: what is known word for word; count: of how many rows there is something to say,
            of which `left_out` are not trained on and the others are cut.
    """
    for note in notes[:_NOTES_LISTED]:
        writer.event("row", note, level="warn")
    if count > _NOTES_LISTED:
        more = f"{count - _NOTES_LISTED:,} more rows were left out or cut"
        writer.event("row", more, level="warn")
    if count > 1:
        counted = f"{left_out:,} rows left out, {count - left_out:,} cut at max_length"
        writer.event("rows", counted, level="warn")


def _say_doubts(spec: Spec, rows: Rows, writer: RunWriter) -> None:
    """Say what is doubtful about the settings for these rows: a rate far off, few rows, none held
    out."""
    known = facts.of(
        spec.recipe,
        rows=len(rows.examples),
        held_out=len(rows.held_examples),
        trained_tokens=sum(int((e.labels != IGNORED).sum()) for e in rows.examples),
        tokens=rows.tokens,
        hidden=describe(Path(spec.base)).hidden or None,
    )
    for verdict in before(known):
        if verdict.alarm:
            writer.event("warning", f"{verdict.text}. {verdict.advice}", level="warn")


def _say_split(writer: RunWriter, spec: Spec) -> None:
    """Say where the dataset's recorded split was followed, and not the recipe's share."""
    snapshot = spec.snapshot
    if snapshot.split.get("by") == "recorded":
        writer.event(
            "split",
            f"the recorded split was followed, not test_size: {snapshot.train_rows:,} rows to "
            f"train on, {snapshot.eval_rows:,} held out, {snapshot.test_rows:,} kept for the end",
        )
