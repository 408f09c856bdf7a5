"""What is shipped: the starter model, the starter datasets, the suites.

Knows where the shipped files lie. Does not know what is in them.
"""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).parent


def path(*parts: str) -> Path:
    """The path of a shipped file or folder: ``path("suites", "habit.toml")``.

    Raises:
        FileNotFoundError: nothing is shipped under that name.
    """
    found = _ROOT.joinpath(*parts)
    if not found.exists():
        raise FileNotFoundError(f"nothing is shipped as {'/'.join(parts)} (looked for {found})")
    return found
