"""`workbench demo`: story 5 from start to end, without a screen."""

from __future__ import annotations

from workbench.output import JsonOption, WorkspaceOption, emit


def demo(workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Teach the starter a habit, check it, chat with it and export it, in a few minutes."""
    import tempfile
    from pathlib import Path

    from store.catalogue import Catalogue
    from workbench.demo import play
    from workbench.workspace import find_workspace

    place = workspace or Path(tempfile.mkdtemp(prefix="workbench-demo-"))
    with Catalogue.open(find_workspace(place)) as cat:
        result = play(cat, quiet=json)
    emit(result, json)
