"""promptfoo's YAML as far as it is deterministic: prompts, tests, vars and assert.

Knows which assertions mean the same as a check of ours (promptfoo.dev/docs/configuration/
expected-outputs/deterministic). Everything else is refused by its name and line, all of it at once;
what has no effect here, such as `providers`, becomes a note.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from engine.checks.kinds import REFUSALS, Check
from engine.checks.kinds.schema import problem
from engine.checks.patterns import problem as pattern_problem
from engine.checks.reading.prompts import weight
from engine.checks.reading.records import Group, Prompt, Suite
from engine.checks.reading.source import Source, named
from engine.checks.reading.table import Table
from store.errors import BadInput

_TOP = frozenset({"description", "prompts", "tests", "defaultTest"})
_NO_EFFECT = frozenset({"providers", "targets", "outputPath", "sharing", "commandLineOptions"})
_TEST = frozenset({"description", "vars", "assert", "metadata"})
_ASSERT = frozenset({"type", "value", "metric", "weight", "threshold"})
_VAR = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_BRACES = re.compile(r"\{\{|\{%")
_SPLIT_ANY = re.compile(r"\s*,\s*")
_MAX_TOKENS = 256
_MOST_TESTS = 10_000
_TEXTS: dict[str, tuple[str, bool]] = {
    "equals": ("equals", False),
    "contains": ("contains", False),
    "icontains": ("contains", True),
    "contains-any": ("contains", False),
    "icontains-any": ("contains", True),
    "contains-all": ("contains_all", False),
    "icontains-all": ("contains_all", True),
    "starts-with": ("starts_with_one_of", False),
    "regex": ("regex", False),
}
TYPES = (*_TEXTS, "is-json", "is-refusal", "word-count")
"""The assertions that are understood; `not-` in front of any of them too."""


def looks_like(data: object) -> bool:
    """Whether a YAML file is promptfoo's and not ours."""
    return isinstance(data, Mapping) and "group" not in data and "tests" in data


def suite(source: Source) -> Suite:
    """The suite that a promptfoo file describes.

    Raises:
        BadInput: it breaks the format, or asks for what is not supported.
    """
    data = Table.of(source.data, (), source)
    reader = _Reader(data)
    groups = reader.groups()
    if reader.unsupported:
        raise BadInput(
            f"{source.path}: of promptfoo not supported: {'; '.join(reader.unsupported)}",
            f"Take it out. Assertions that are understood: {', '.join(TYPES)}, with not- too.",
        )
    return Suite(
        name=source.path.stem,
        description=data.text("description"),
        max_tokens=_MAX_TOKENS,
        groups=tuple(groups),
        sha256=source.sha256,
        files=tuple(source.files),
        notes=tuple(f"{key}: without effect here" for key in data.values if key in _NO_EFFECT),
    )


class _Reader:
    """Gathers the groups, and everything that is not supported."""

    def __init__(self, data: Table) -> None:
        self._data = data
        self.unsupported: list[str] = []

    def groups(self) -> list[Group]:
        data = self._data
        for key in data.values:
            if key not in _TOP | _NO_EFFECT:
                self._cannot(data, key)
        prompts = data.texts("prompts")
        if not prompts:
            raise data.bad("prompts", "a list of texts")
        for i, prompt in enumerate(prompts):
            if prompt.startswith("file://"):
                self._cannot(data, "prompts", i, "file://")
            elif prompt.lstrip().startswith(("[{", "[\n", "- role")):
                self._cannot(data, "prompts", i, "a conversation in JSON or YAML")
        default = Table.of(data.values.get("defaultTest", {}), ("defaultTest",), data.source)
        self._only(default, _TEST)
        tests = data.tables("tests")
        if not 1 <= len(tests) <= _MOST_TESTS:
            raise data.bad("tests", f"a list of 1 to {_MOST_TESTS:,} tests")
        shared = self._vars(default)
        groups = []
        for index, test in enumerate(tests):
            self._only(test, _TEST)
            fields = {**shared, **self._vars(test)}
            asserts = [*default.tables("assert"), *test.tables("assert")]
            checks = [one for table in asserts if (one := self._check(table, fields)) is not None]
            if not asserts:
                raise test.bad("assert", "at least one assertion")
            title = f"{index + 1} {test.text('description')}".rstrip()
            asked = tuple(
                Prompt(
                    self._filled(data, ("prompts", number), prompt, fields),
                    cluster=f"prompt {number + 1}" if len(prompts) > 1 else "",
                )
                for number, prompt in enumerate(prompts)
            )
            groups.append(Group(title, asked, tuple(checks)))
        return groups

    def _vars(self, test: Table) -> dict[str, str]:
        table = Table.of(test.values.get("vars", {}), (*test.place, "vars"), test.source)
        found = {}
        for name, value in table.values.items():
            if not isinstance(value, str | int | float) or isinstance(value, bool):
                self._cannot(table, name, "a list or table of values")
            elif isinstance(value, str) and value.startswith("file://"):
                self._cannot(table, name, "file://")
            found[name] = str(value)
        return found

    def _check(self, table: Table, fields: Mapping[str, str]) -> Check | None:
        self._only(table, _ASSERT)
        kind = table.text("type", filled=True)
        bare = kind.removeprefix("not-")
        if bare not in TYPES:
            self._cannot(table, "type", kind)
            return None
        if "threshold" in table:
            self._cannot(table, "threshold")
        weight(table)
        negate = kind != bare
        name = table.text("metric")
        value = table.values.get("value")
        if bare == "is-refusal":
            return Check("refuses", REFUSALS, name=name, negate=negate)
        if bare == "is-json":
            return Check("json", name=name, negate=negate, schema=self._schema(table, value))
        if bare == "word-count":
            return self._word_count(table, value, name, negate)
        our, ignore = _TEXTS[bare]
        values = tuple(
            self._filled(table, (*table.place, "value"), text, fields)
            for text in self._values(table, value, bare.endswith(("-any", "-all")))
        )
        for pattern in values if our == "regex" else ():
            if said := pattern_problem(pattern):
                raise table.bad("value", "a regular expression", f"{pattern}: {said}")
        return Check(our, values, ignore_case=ignore, name=name, negate=negate)

    def _values(self, table: Table, value: object, several: bool) -> tuple[str, ...]:
        if several and isinstance(value, str):
            value = _SPLIT_ANY.split(value.strip())
        if several:
            return Table({"value": value}, table.place, table.source).texts("value")
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise table.bad("value", "a text that is not empty", value)
        return (str(value),)

    def _schema(self, table: Table, value: Any) -> str:
        if value is None:
            return ""
        if said := problem(value):
            raise table.bad("value", "a schema of the supported keywords", said)
        return json.dumps(value, sort_keys=True)

    def _word_count(self, table: Table, value: Any, name: str, negate: bool) -> Check:
        bounds = value if isinstance(value, dict) else {"min": value, "max": value}
        at = Table(bounds, (*table.place, "value"), table.source)
        at.only({"min", "max"})
        low, high = at.number("min", low=0), at.number("max", low=0)
        return Check("length", name=name, negate=negate, low=low, high=high, unit="words")

    def _filled(self, at: Table, place: Any, text: str, fields: Mapping[str, str]) -> str:
        """A template with its variables put in; of Nunjucks only `{{name}}`."""
        for name in _VAR.findall(text):
            if name not in fields:
                raise at.source.bad(place, f"variables among {', '.join(fields)}", name)
        if _BRACES.search(_VAR.sub("", text)):
            self._cannot(at, "", "Nunjucks beyond {{name}}")
        return _VAR.sub(lambda match: fields[match[1]], text)

    def _only(self, table: Table, known: frozenset[str]) -> None:
        for key in table.values:
            if key not in known:
                self._cannot(table, key)

    def _cannot(self, table: Table, key: str, *more: str | int) -> None:
        assert isinstance(self._data.source, Source)
        place = (*table.place, key) if key else table.place
        said = " ".join(str(part) for part in more if isinstance(part, str))
        place = (*place, *(part for part in more if isinstance(part, int)))
        line = self._data.source.line(place)
        words = f"line {line}: {named(place)}" + (f" {said}" if said else "")
        if words not in self.unsupported:
            self.unsupported.append(words)
