"""The walls of the house, seen from outside: what a fresh process has imported."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

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
