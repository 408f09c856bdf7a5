"""Our own format of suites: groups of prompts with checks, in TOML or YAML.

Knows the format. A prompt passes when every check of its group does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.checks import kinds
from engine.checks.kinds import Check
from engine.checks.reading import prompts
from engine.checks.reading.checks import Lists, check
from engine.checks.reading.records import Group, Prompt, Suite
from engine.checks.reading.source import Source
from engine.checks.reading.table import Table

_SUITE_KEYS = frozenset({"name", "description", "max_tokens", "lists", "group"})
_GROUP_KEYS = prompts.KEYS | {"name", "check", "weight", "tags"}


def suite(source: Source) -> Suite:
    """The suite in a file, checked through and through.

    Raises:
        BadInput: it breaks the format.
    """
    data = Table.of(source.data, (), source)
    data.only(_SUITE_KEYS)
    named = Table.of(data.values.get("lists", {}), ("lists",), source)
    lists = {name: named.texts(name) for name in named.values}
    if not isinstance(data.values.get("group"), list) or not data.values["group"]:
        raise data.bad("group", "at least one [[group]]")
    groups: list[Group] = []
    for index, table in enumerate(data.tables("group")):
        group = _group(table, lists, source, index)
        if any(group.name == other.name for other in groups):
            raise table.bad("name", "a name of its own", group.name)
        groups += _apart(group)
    return Suite(
        name=data.text("name", source.path.stem),
        description=data.text("description"),
        max_tokens=data.whole("max_tokens", 128, 1, 100_000),
        groups=tuple(groups),
        sha256=source.sha256,
        files=tuple(source.files),
    )


def _apart(group: Group) -> list[Group]:
    """A group for what is counted and one for each judge: opinions are no facts."""
    found = []
    for judge in dict.fromkeys(one.judge for one in group.checks):
        checks = tuple(one for one in group.checks if one.judge == judge)
        name = f"{group.name}, judged by {judge}" if judge else group.name
        found.append(Group(name, group.prompts, checks, judge))
    return found


def _group(table: Table, lists: Lists, source: Source, index: int) -> Group:
    table.only(_GROUP_KEYS)
    name = table.text("name", f"group {index + 1}")
    asked = prompts.prompts(table, source)
    if not asked:
        raise table.bad("", "at least one prompt: `prompts`, `prompts_file`, `table` or `dataset`")
    listed = table.tables("check")
    if not listed:
        raise table.bad("check", "at least one [[group.check]]")
    found = tuple(check(one, lists) for one in listed)
    for one, at in zip(found, listed, strict=True):
        for part in (one, one.when, one.unless):
            if part is not None:
                _fields_are_there(part, at, asked)
    weight, tags = prompts.weight(table), table.texts("tags")
    return Group(
        name,
        tuple(
            replace(p, weight=p.weight * weight, tags=tuple(dict.fromkeys((*tags, *p.tags))))
            for p in asked
        ),
        found,
    )


def _fields_are_there(check: Check, at: Table, asked: Sequence[Prompt]) -> None:
    """Whether every prompt has what the check's values name: `{expect}` or a column."""
    named = set().union(*(kinds.named(value) for value in check.values))
    known = {"expect"}.union(*(dict(prompt.columns) for prompt in asked))
    for name in sorted(named & known):
        for prompt in asked:
            if not prompt.fields.get(name):
                raise at.bad("", f"`{name}` on every prompt", prompt.text[:60])
