"""Follow a run until it ends, a line a second, and say how it ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from workbench.commands.train.telling import result_of, say_unless
from workbench.output import complain, emit, say

if TYPE_CHECKING:
    from store.catalogue import Catalogue
    from store.runs import Run

_LINE_S = 1.0


def finish(cat: Catalogue, run: Run, detach: bool, json: bool) -> None:
    """Follow the run unless it is to be left alone, and print how it stands."""
    from engine.train import client

    say_unless(json, _in_front(cat, run))
    if not detach and not followed(cat, run, json):
        detach = True
    found = client.refresh(cat, run.id)
    failed = found.status in ("failed", "lost") and not detach
    if detach:
        words = f"run {found.id} goes on by itself. Watch it: workbench watch {found.id}"
    else:
        why = f": {found.reason}" if found.reason else ""
        words = (
            f"run {found.id} {found.status} at step {found.step}{why}. Talk to it: run:{found.id}"
        )
    if failed:
        complain(
            f"run {found.id} {found.status} at step {found.step}: {found.reason}",
            f"Read its log: workbench log {found.id}. Go on: workbench resume {found.id}.",
        )
    emit(result_of(cat, found), json, [] if failed else words)
    if failed:
        raise typer.Exit(2)


def _in_front(cat: Catalogue, run: Run) -> str:
    """Who has the device and who waits for it in front of a run; empty where nobody does."""
    from engine.train import client

    running = [f"run {one.id} trains" for one in client.refresh(cat) if one.status == "running"]
    ahead = [one.position - 1 for one in client.queue(cat) if one.run.id == run.id]
    waiting = [f"{ahead[0]} wait in front of it"] if ahead and ahead[0] else []
    if not ahead or not (running or waiting):
        return ""
    return f"run {run.id} waits for the device: {', '.join([*running, *waiting])}"


def followed(cat: Catalogue, run: Run, json: bool) -> bool:
    """Print a line a second until the run has ended; False where the user left it."""
    from engine.train.client import follow

    told = 0.0
    newest = shown = ""
    try:
        for progress in follow(cat, run.id):
            newest = str(progress) if progress.step and progress.loss is not None else ""
            newest = newest if newest != shown else ""
            for text in progress.news:
                say_unless(json, f"note: {text}")
            if newest and time.monotonic() - told >= _LINE_S:
                say_unless(json, newest)
                told, shown, newest = time.monotonic(), newest, ""
    except KeyboardInterrupt:
        if not json:
            say("")
        return False
    if newest:
        say_unless(json, newest)
    return True
