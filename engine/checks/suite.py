"""Suites: files that group prompts and the checks their answers must pass.

Knows where suites are. The formats are read in `reading`; nothing here asks models.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import assets
from engine.checks.reading import native, promptfoo
from engine.checks.reading.records import Group, Prompt, Suite
from engine.checks.reading.source import Source
from store.catalogue import Catalogue
from store.errors import BadInput, NotFound

__all__ = ["Group", "Prompt", "Suite", "load", "names", "tagged"]

_HINT = "Compare it with a shipped suite: {}"


def names() -> list[str]:
    """The shipped suites."""
    return sorted(path.stem for path in assets.path("suites").glob("*.toml"))


def load(name_or_path: str, cat: Catalogue | None = None) -> Suite:
    """Read a suite: a shipped name, or a file in TOML, YAML or promptfoo's YAML.

    Args:
        cat: knows the datasets whose parts a suite may name.
    Raises:
        NotFound: neither a shipped name nor a file.
        BadInput: the file breaks the format.
    """
    path = Path(name_or_path).expanduser()
    if name_or_path in names():
        path = assets.path("suites", f"{name_or_path}.toml")
    elif not path.is_file():
        raise NotFound(
            f"suite '{name_or_path}': neither a shipped suite nor a file",
            f"Shipped: {', '.join(names())}. Or give the path of a TOML or YAML file.",
        )
    source = Source(path, _HINT.format(assets.path("suites", "habit.toml")), cat)
    if source.is_yaml and promptfoo.looks_like(source.data):
        return promptfoo.suite(source)
    return native.suite(source)


def tagged(suite: Suite, tags: list[str]) -> Suite:
    """Only the prompts that bear one of these tags; the name says so, for what is recorded.

    Raises:
        BadInput: no prompt bears one of them.
    """
    for tag in tags:
        if tag not in suite.tags:
            known = ", ".join(suite.tags) or "it has none"
            raise BadInput(f"{suite.name}: no prompt is tagged '{tag}'", f"Its tags: {known}.")
    groups = (
        replace(group, prompts=tuple(p for p in group.prompts if {*p.tags} & {*tags}))
        for group in suite.groups
    )
    name = f"{suite.name}:{'+'.join(sorted(tags))}"
    kept = tuple(group for group in groups if group.prompts)
    return replace(suite, name=name, groups=kept, picked=tuple(sorted(tags)))
