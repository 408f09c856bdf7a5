"""The walls of the house, seen from outside: what a fresh process has imported."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from engine.records.tracking import PACKAGES

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "peft", "trl", "datasets", "llama_cpp", "bitsandbytes")


def modules(package: str) -> list[str]:
    """Every module below a package, as dotted names."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def is_heavy(module: str) -> bool:
    """A heavy module is called `worker` or says so in its docstring, or its package does."""
    parts = module.split(".")
    if parts[-1] == "worker":
        return True
    for end in range(1, len(parts) + 1):
        path = ROOT.joinpath(*parts[:end])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        doc = ast.get_docstring(ast.parse(path.read_text())) or ""
        if "(heavy)" in doc.split("\n", 1)[0]:
            return True
    return False


def imported_after(statement: str, unwanted: tuple[str, ...]) -> list[str]:
    """Which of `unwanted` a fresh interpreter has imported after a statement."""
    code = f"{statement}\nimport sys\nprint([m for m in {unwanted!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found: list[str] = ast.literal_eval(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [
        ("store", (*HEAVY, "textual")),
        ("engine", (*HEAVY, "textual")),
        ("screens", HEAVY),
        ("workbench", HEAVY),
    ],
)
def test_light_modules_import_nothing_heavy(package: str, unwanted: tuple[str, ...]) -> None:
    light = [name for name in modules(package) if not is_heavy(name) and "__main__" not in name]
    assert len(light) > 5
    assert imported_after("\n".join(f"import {name}" for name in light), unwanted) == []


def test_the_command_line_starts_without_textual() -> None:
    unwanted = (*HEAVY, "textual", "sqlite_utils", "numpy", "tokenizers", "jinja2", "rich")
    assert imported_after("import workbench.cli", unwanted) == []


def plain(distribution: str) -> str:
    """A distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_what_is_imported_is_depended_on() -> None:
    """A fresh machine has what pyproject names, and no more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # Trackers are optional: each is an extra, and refused by name where it is not installed.
    extras = project["optional-dependencies"]
    trackers = [item for name in PACKAGES for item in extras[name]]
    wanted = [*project["dependencies"], *trackers, "tensorboardX"]
    named = {plain(re.split(r"[^\w.-]", item)[0]) for item in wanted}
    # Textual's own, which Textual's widgets are made of; and trl's own, which its trainers take.
    named |= {"rich", "datasets"}
    distributions = packages_distributions()
    missing = set()
    for room in ("workbench", "screens", "engine", "store"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    modules = [node.module or ""]
                else:
                    continue
                for module in modules:
                    owners = {plain(o) for o in distributions.get(module.split(".")[0], [])}
                    if owners and not owners & (named | {"workbench-llm"}):
                        missing.add((module.split(".")[0], file.relative_to(ROOT).as_posix()))
    assert missing == set()
