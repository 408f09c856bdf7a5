"""`workbench diagnose`: what the curves of a run mean, and which knob to turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.train.telling import RunArgument, number
from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.diagnosis import Verdict


def diagnose(
    run: RunArgument,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="NAME", help="Rules of thumb to add: habit, lab, or a TOML file."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """What the curves of a run mean, each with its evidence and the knob to turn."""
    from engine.diagnosis import preset as presets
    from engine.diagnosis.reading import diagnosis
    from engine.train import client
    from store.catalogue import Catalogue
    from workbench.workspace import find_workspace

    thumb = presets.load(preset) if preset is not None else None
    with Catalogue.open(find_workspace(workspace)) as cat:
        found = client.refresh(cat, number(run))
        verdicts = diagnosis(cat, found, thumb)
    result = {
        "run": found.id,
        "status": found.status,
        "step": found.step,
        "preset": preset,
        "verdicts": [verdict.as_dict() for verdict in verdicts],
    }
    head = f"run {found.id} · {found.name} · {found.status} at step {found.step}"
    emit(result, json, [head, *told(verdicts)])


def told(verdicts: list[Verdict]) -> list[str]:
    """Each verdict in one line, what to do beneath it."""
    lines: list[str] = []
    for verdict in verdicts:
        lines.append(f"{verdict.mark} {verdict.rule}: {verdict.text}")
        if verdict.advice:
            knob = f" [{verdict.knob}]" if verdict.knob else ""
            lines.append(f"    {verdict.advice}{knob}")
    return lines
