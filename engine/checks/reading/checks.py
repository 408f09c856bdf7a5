"""The checks of a suite file: every kind with the keys that it takes, and no others.

Knows the kinds. Does not know prompts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from engine.checks import kinds, patterns
from engine.checks.kinds import KINDS, NAMES, REFUSALS, Check
from engine.checks.kinds.schema import problem
from engine.checks.reading.table import Table

Lists = Mapping[str, tuple[str, ...]]
_ALWAYS = frozenset({"kind", "name", "negate", "when", "unless"})
_VALUES = ("list", "values", "value")
CHOICES = ("yes", "no")
"""What a judge may say where a suite does not say so; the first passes."""


def check(table: Table, lists: Lists, *, conditions: bool = True) -> Check:
    """One check.

    Args:
        lists: the suite's named lists of texts.
        conditions: whether it may have conditions itself.
    Raises:
        BadInput: it breaks the format.
    """
    kind = table.values.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise table.bad("kind", f"one of {', '.join(NAMES)}", kind)
    about = KINDS[kind]
    known = {*_ALWAYS, *about.options, *(() if about.values == "none" else _VALUES)}
    if about.values == "none" and any(key in table for key in _VALUES):
        raise table.bad("", f"no values: `{kind}` asks whether it {about.about}")
    table.only(known if conditions else known - {"when", "unless"})
    values = _values(table, lists)
    if not values and kind in ("refuses", "not_refuses"):
        values = REFUSALS
    if about.values == "must" and not values:
        raise table.bad("", "list, values or value")
    found = Check(
        kind,
        values,
        ignore_case=table.flag("ignore_case"),
        name=table.text("name"),
        low=table.number("min"),
        high=table.number("max"),
        tolerance=table.number("tolerance", 0.0, 0.0) or 0.0,
        unit=_one_of(table, "unit", kinds.UNITS, "words") if kind == "length" else "",
        which=_one_of(table, "which", kinds.WHICH, "last"),
        schema=_schema(table),
        fenced=table.flag("fenced"),
        negate=table.flag("negate"),
        when=_condition(table, "when", lists),
        unless=_condition(table, "unless", lists),
        judge=table.text("judge"),
        choices=table.texts("choices") or (CHOICES if kind == kinds.RUBRIC else ()),
        accept=table.texts("accept"),
        against=_one_of(table, "against", ("", "base", "expect"), ""),
        template=table.text("template"),
    )
    _fits(table, found)
    return found


def _fits(table: Table, found: Check) -> None:
    """What only some kinds want."""
    bounds = found.low is not None or found.high is not None
    if found.low is not None and found.high is not None and found.low > found.high:
        raise table.bad("max", "at least `min`", found.high)
    if found.kind in ("regex", "not_regex"):
        for value in found.values:
            if said := patterns.problem(kinds.filled(value, {"expect": ""})):
                raise table.bad("", "a regular expression", f"{value}: {said}")
    elif found.kind == "language":
        for value in found.values:
            if value not in kinds.LANGUAGES and not kinds.named(value):
                raise table.bad("", f"languages among {', '.join(kinds.LANGUAGES)}", value)
    elif found.kind == "length" and not bounds:
        raise table.bad("", "`min` or `max`")
    elif found.kind == "number_within" and (bounds == bool(found.values) or len(found.values) > 1):
        raise table.bad("", "either one `value`, or `min` and `max`")
    elif found.kind == "similar" and (found.low is None or not 0 <= found.low <= 1):
        raise table.bad("min", "a likeness from 0 to 1", found.low)
    elif found.kind == "json_schema" and not found.schema:
        raise table.bad("schema", "a JSON schema, as a table or a text")
    elif found.kind == kinds.RUBRIC:
        _rubric_fits(table, found)


def _rubric_fits(table: Table, found: Check) -> None:
    if not found.judge:
        raise table.bad("judge", "the model that judges, as starter, run:12 or ./folder")
    if len(found.values) != 1:
        raise table.bad("values", "one rule, as `value`", ", ".join(found.values))
    if found.against:
        for key in ("choices", "accept"):
            if key in table:
                raise table.bad(key, "none: where two answers are compared the judge says A or B")
    elif len({choice.casefold() for choice in found.choices}) < 2:
        raise table.bad("choices", "two different ones or more", ", ".join(found.choices))
    for one in found.accept:
        if one not in found.choices:
            raise table.bad("accept", f"some of the choices ({', '.join(found.choices)})", one)
    if len({*found.accept}) == len({*found.choices}):
        raise table.bad("accept", "not every choice", ", ".join(found.accept))
    needed = ("a", "b") if found.against else ("answer",)
    missing = [name for name in needed if f"{{{name}}}" not in found.template]
    if found.template and missing:
        raise table.bad("template", f"a text with {{{missing[0]}}} in it", found.template)


def _values(table: Table, lists: Lists) -> tuple[str, ...]:
    sources = [key for key in _VALUES if key in table]
    if len(sources) > 1:
        raise table.bad("", f"only one of {', '.join(_VALUES)}")
    if not sources:
        return ()
    key = sources[0]
    if key == "values":
        return table.texts("values")
    value = table.text(key, filled=True)
    if key == "value":
        return (value,)
    if value not in lists:
        known = ", ".join(lists) or "there are none"
        raise table.bad("list", f"a name under [lists] ({known})", value)
    return lists[value]


def _one_of(table: Table, key: str, known: tuple[str, ...], default: str) -> str:
    value = table.text(key, default)
    if value not in known:
        raise table.bad(key, f"one of {', '.join(known)}", value)
    return value


def _schema(table: Table) -> str:
    if "schema" not in table:
        return ""
    value = table.values["schema"]
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise table.bad("schema", "a JSON schema", f"not JSON: {error}") from error
    if said := problem(value):
        raise table.bad("schema", "a schema of the supported keywords", said)
    return json.dumps(value, sort_keys=True)


def _condition(table: Table, key: str, lists: Lists) -> Check | None:
    if key not in table:
        return None
    value = table.values[key]
    if isinstance(value, str):
        value = {"kind": value}
    if isinstance(value, dict) and value.get("kind") == kinds.RUBRIC:
        raise table.bad(key, "a check that needs no judge", kinds.RUBRIC)
    return check(Table.of(value, (*table.place, key), table.source), lists, conditions=False)
