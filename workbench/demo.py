"""Story 5 played headless: data, training, checks, chat, export, each through the engine.

Knows the order of the story and prints it. Does not know how any of it is done.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import assets
from engine.chat.client import ChatSession, Sampling, answer
from engine.chat.protocol import Done
from engine.checks.run import run as run_suite
from engine.checks.series import over_checkpoints, recommend
from engine.checks.suite import load as load_suite
from engine.data.document import Document
from engine.data.rows import Turn
from engine.export.client import export
from engine.export.stages import Stage
from engine.render import Renderer
from engine.train import client as training
from engine.train.progress import follow
from engine.train.recipe import load as load_recipe
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.exports import Export
from store.runs import Run
from workbench.output import say, table

Tell = Callable[[str], None]

QUESTION = "What colour is the fox?"
EVERY = 20
"""Steps between lines of progress."""
SIGNS = {"pass": "✓", "warn": "!", "fail": "✗"}


def play(cat: Catalogue, *, quiet: bool = False) -> dict[str, object]:
    """Play the story in a workspace and return its table.

    Args:
        quiet: print nothing; the returned object says it all.
    Raises:
        WorkbenchError: a step failed, in its own words.
    """
    tell: Tell = (lambda _: None) if quiet else say
    begun = time.monotonic()
    tell(f"Story 5, the habit, in {cat.workspace.root}\n")
    data = _look_at_data(cat, tell)
    before = _check(cat, "starter", tell, "2 · Before training")
    run = _train(cat, data, tell)
    _choose(cat, run, tell)
    ref = f"run:{run.id}"
    after = _check(cat, ref, tell, "5 · After training")
    speed = _talk(cat, ref, tell)
    exported = _export(cat, ref, tell)
    seconds = time.monotonic() - begun
    retained = after["retention"] / before["retention"] if before["retention"] else 0.0
    result: dict[str, object] = {
        "workspace": str(cat.workspace.root),
        "run": run.id,
        "habit_before": before["habit"],
        "habit_after": after["habit"],
        "retention_before": before["retention"],
        "retention_after": after["retention"],
        "world_retained": retained,
        "train_seconds": (run.finished or 0) - (run.started or 0),
        "tokens_per_second": speed,
        "export": exported.path,
        "export_bytes": exported.bytes,
        "proof": exported.status,
        "seconds": seconds,
    }
    rows = [
        ("habit suite", f"{before['habit']:.1%}", f"{after['habit']:.1%}"),
        ("retention suite", f"{before['retention']:.1%}", f"{after['retention']:.1%}"),
        ("world retained", "", f"{retained:.1%}"),
        ("training", "", f"{result['train_seconds']:.0f} s"),
        ("chat, two columns", "", f"{speed:.0f} tokens/s"),
        ("export", "", f"{(exported.bytes or 0) / 1e6:.1f} MB"),
        ("proof", "", exported.status),
        ("whole story", "", f"{seconds:.0f} s"),
    ]
    for line in ["", *table(("", "before", "after"), rows)]:
        tell(line)
    return result


def _look_at_data(cat: Catalogue, tell: Tell) -> Path:
    """Copy the shipped rows into the workspace, and show what the model will see of one."""
    path = cat.workspace.root / "habit.jsonl"
    shutil.copy(assets.path("datasets", "habit.jsonl"), path)
    renderer = Renderer.load(assets.path("starter"))
    document = Document.open(cat, path)
    try:
        row = document.row(1)
    finally:
        document.close()
    rendered = renderer.render_row(row)
    tell("1 · Data: habit.jsonl, row 1; what the loss counts is in brackets")
    shown, inside = "", False
    for token, trained in zip(rendered.tokens, rendered.mask, strict=True):
        if bool(trained) != inside:
            shown += "[" if trained else "]"
            inside = bool(trained)
        shown += token
    tell("  " + (shown + ("]" if inside else "")).replace("\n", "\n  "))
    return path


def _check(cat: Catalogue, ref: str, tell: Tell, title: str) -> dict[str, float]:
    tell(f"\n{title}: {ref}")
    rates: dict[str, float] = {}
    for name in ("habit", "retention"):
        (result,) = run_suite(cat, load_suite(name), [ref])
        total = result.total
        rates[name] = total.rate or 0.0
        tell(
            f"  {name:<10} {total.passed:>3} of {total.passed + total.failed}"
            f"   {rates[name]:6.1%}  [{total.low or 0:.1%}, {total.high or 1:.1%}]"
        )
    return rates


def _train(cat: Catalogue, data: Path, tell: Tell) -> Run:
    recipe = load_recipe("habit-starter")
    run = training.start(cat, data, "starter", recipe, name="habit")
    tell(f"\n3 · Training: run {run.id}, QLoRA r={recipe.r}, {recipe.learning_rate:g}")
    told = -EVERY
    for progress in follow(cat, run.id):
        if progress.step - told >= EVERY:
            told = progress.step
            tell(f"  {progress}")
    run = training.refresh(cat, run.id)
    if run.status != "finished":
        raise WorkbenchError(
            f"run {run.id} is {run.status}: {run.reason}",
            f"Read its log: workbench log {run.id} --workspace {cat.workspace.root}",
        )
    return run


def _choose(cat: Catalogue, run: Run, tell: Tell) -> None:
    """Ask every checkpoint what the habit is, and promote the one that has it best."""
    tell("\n4 · Every checkpoint on the habit suite")
    found = over_checkpoints(cat, run.id, [load_suite("habit")])
    for step, result in zip(found.steps, found.suites[0].at, strict=True):
        tell(f"  @{step:<6,} {result.passed:>3} of {result.passed + result.failed}")
    advice = recommend(found)
    tell(f"  {advice.reason}")
    if advice.step is not None:
        training.promote(cat, run.id, advice.step)
        tell(f"  run:{run.id} means @{advice.step:,} from here on")


def _talk(cat: Catalogue, ref: str, tell: Tell) -> float:
    """Ask base and adapter side by side; returns tokens per second of both together."""
    tell(f"\n6 · Chat: {QUESTION}")
    with ChatSession.open(cat, ["starter", ref], keep=False) as session:
        (columns,) = answer(session, [[Turn("user", QUESTION)]], Sampling(max_tokens=64))
    done = [column for column in columns if isinstance(column, Done)]
    for name, column in zip("AB", done, strict=False):
        tell(f"  {name}  {column.text}")
    return sum(column.tokens for column in done) / max(column.seconds for column in done)


def _export(cat: Catalogue, ref: str, tell: Tell) -> Export:
    tell("\n7 · Export: GGUF F16, proved against the trained model")

    def hear(stage: Stage) -> None:
        if stage.state != "running":
            tell(f"  {SIGNS[stage.state]} {stage.name:<9} {stage.text}")

    [made] = export(cat, ref, to="gguf", types=["f16"], on_event=hear)
    return made
