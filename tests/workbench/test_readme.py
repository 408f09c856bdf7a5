"""The README names every command, and every command that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.cli import COMMANDS, LazyCommands

README = (Path(__file__).parents[2] / "README.md").read_text()


def commands() -> set[str]:
    """Every command as it is typed, e.g. `data show`."""
    found = set()
    for name in COMMANDS:
        command = LazyCommands().get_command(None, name)
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}" for sub in inner} if inner else {name}
    return found


def test_every_command_is_in_the_readme() -> None:
    table = README.split("| command |", 1)[1]
    missing = [
        name for name in commands() if f"`workbench {name}" not in table and f"`{name}" not in table
    ]
    assert missing == []


def test_every_command_in_the_readme_exists() -> None:
    typed = re.findall(r"workbench ([a-z]+(?: [a-z]+)?)", README)
    known = commands()
    first = {name.split()[0] for name in known}
    unknown = [
        words for words in typed if words not in known and words.split()[0] not in first - {"data"}
    ]
    assert unknown == []
