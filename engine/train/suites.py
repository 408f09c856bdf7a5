"""The check suites of a run: which there are, and their files as they were when it began.

A run keeps copies, so that an edit to a suite does not change what a curve means half way. Knows
recipes and suite files. Does not ask models.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.checks import suite as files
from engine.checks.suite import Suite
from engine.train.recipe import Recipe, suite_names

FOLDER = "suites"


def load(recipe: Recipe, run_dir: Path | None = None) -> dict[str, Suite]:
    """Label -> suite, the run's own copies where it has them.

    Raises:
        NotFound, BadInput: as `engine.checks.suite.load`.
    """
    found = {}
    for name, entry in suite_names(recipe).items():
        shown = f"{name}{Path(entry).suffix or '.toml'}"
        copy = run_dir / FOLDER / name / shown if run_dir is not None else None
        found[name] = files.load(str(copy) if copy is not None and copy.is_file() else entry)
    return found


def keep(suites: dict[str, Suite], run_dir: Path) -> None:
    """Copy the suites' files into a run's folder."""
    for name, suite in suites.items():
        folder = run_dir / FOLDER / name
        home = suite.path.resolve().parent
        for path in suite.files:
            own = path == suite.path
            shown = f"{name}{path.suffix or '.toml'}" if own else path.relative_to(home)
            target = folder / shown
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(path, target)
