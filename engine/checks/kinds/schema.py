"""JSON Schema, a small part of draft 2020-12: what it knows it does as the draft says.

Knows schemas and values. Every keyword that is not in `KEYWORDS` is refused by its name when the
suite is read, so that none is silently without effect; `$ref` and `format` are among those.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import re2

_NOTES = frozenset({"title", "description", "default", "examples", "$schema", "$comment", "$id"})
_TYPES: dict[str, Callable[[object], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "integer": lambda v: (
        isinstance(v, int | float) and not isinstance(v, bool) and float(v).is_integer()
    ),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
}
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_SIZES = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_LISTS = ("anyOf", "allOf", "oneOf")
KEYWORDS = frozenset(
    {"type", "enum", "const", "properties", "required", "additionalProperties", "items"}
    | {"prefixItems", "uniqueItems", "pattern", "not", *_NUMBERS, *_SIZES, *_LISTS}
)
_DEEP = 32


def problem(schema: object, where: str = "schema", depth: int = 0) -> str | None:
    """Why a schema cannot be used, with its place and the keyword's name; None if it can."""
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, Mapping):
        return f"{where}: expected an object or a boolean"
    if depth > _DEEP:
        return f"{where}: nested more than {_DEEP} deep"
    for key, value in schema.items():
        if key in _NOTES:
            continue
        if key not in KEYWORDS:
            return f"{where}: the keyword {key!r} is not supported ({', '.join(sorted(KEYWORDS))})"
        if said := _keyword_problem(key, value):
            return f"{where}.{key}: {said}"
    for place, part in _parts(schema):
        if said := problem(part, f"{where}.{place}", depth + 1):
            return said
    return None


def wrong(schema: Any, value: object, where: str = "the value") -> str | None:
    """What of a value does not fit, with its place; None where it fits."""
    if isinstance(schema, bool):
        return None if schema else f"{where}: nothing is allowed here"
    types = schema.get("type")
    if types is not None:
        wanted = [types] if isinstance(types, str) else types
        if not any(_TYPES[name](value) for name in wanted):
            return f"{where}: expected {' or '.join(wanted)}"
    if "const" in schema and _key(value) != _key(schema["const"]):
        return f"{where}: expected {json.dumps(schema['const'])}"
    if "enum" in schema and _key(value) not in [_key(one) for one in schema["enum"]]:
        return f"{where}: expected one of {json.dumps(schema['enum'])[:200]}"
    if isinstance(value, str):
        said = _text_wrong(schema, value)
    elif isinstance(value, list):
        said = _sizes(schema, len(value), "Items") or _array_wrong(schema, value, where)
    elif isinstance(value, dict):
        said = _sizes(schema, len(value), "Properties") or _object_wrong(schema, value, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        said = _number_wrong(schema, value)
    else:
        said = None
    if said:
        return said if said.startswith(where) else f"{where}: {said}"
    return _combined_wrong(schema, value, where)


def _keyword_problem(key: str, value: object) -> str | None:
    if key == "type":
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names or any(n not in _TYPES for n in names):
            return f"expected {', '.join(_TYPES)}, or a list of them"
    elif key in _NUMBERS:
        if not _TYPES["number"](value) or (key == "multipleOf" and float(str(value)) <= 0):
            return "expected a number"
    elif key in _SIZES:
        if type(value) is not int or value < 0:
            return "expected a whole number, 0 or more"
    elif key in (*_LISTS, "prefixItems", "enum"):
        if not isinstance(value, list) or not value:
            return "expected a list that is not empty"
    elif key == "required":
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            return "expected a list of names"
    elif key == "properties":
        if not isinstance(value, Mapping):
            return "expected an object"
    elif key == "uniqueItems":
        if not isinstance(value, bool):
            return "expected true or false"
    elif key == "pattern":
        try:
            re2.compile(value)
        except (re2.error, TypeError) as error:
            return f"expected a regular expression (RE2): {error}"
    return None


def _parts(schema: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The schemas within a schema."""
    found: list[tuple[str, object]] = [
        (key, schema[key]) for key in ("items", "additionalProperties", "not") if key in schema
    ]
    found += [(f"properties.{name}", part) for name, part in schema.get("properties", {}).items()]
    for key in (*_LISTS, "prefixItems"):
        found += [(f"{key}[{i + 1}]", part) for i, part in enumerate(schema.get(key, []))]
    return found


def _text_wrong(schema: Mapping[str, Any], value: str) -> str | None:
    if "pattern" in schema and re2.search(schema["pattern"], value) is None:
        return f"does not match {schema['pattern']!r}"
    return _sizes(schema, len(value), "Length")


def _sizes(schema: Mapping[str, Any], size: int, what: str) -> str | None:
    low, high = schema.get(f"min{what}", 0), schema.get(f"max{what}", math.inf)
    return None if low <= size <= high else f"{what.lower()} {size}, expected {low} to {high}"


def _number_wrong(schema: Mapping[str, Any], value: float) -> str | None:
    fits: dict[str, Callable[[float], bool]] = {
        "minimum": lambda bound: value >= bound,
        "maximum": lambda bound: value <= bound,
        "exclusiveMinimum": lambda bound: value > bound,
        "exclusiveMaximum": lambda bound: value < bound,
        "multipleOf": lambda bound: Decimal(str(value)) % Decimal(str(bound)) == 0,
    }
    for key, test in fits.items():
        if key in schema and not test(schema[key]):
            return f"{value:g} breaks {key} {schema[key]:g}"
    return None


def _array_wrong(schema: Mapping[str, Any], value: list[object], where: str) -> str | None:
    if schema.get("uniqueItems") and len({_key(item) for item in value}) < len(value):
        return "items are there twice"
    first = schema.get("prefixItems", [])
    for i, item in enumerate(value):
        part = first[i] if i < len(first) else schema.get("items", True)
        if said := wrong(part, item, f"{where}[{i + 1}]"):
            return said
    return None


def _object_wrong(schema: Mapping[str, Any], value: dict[str, object], where: str) -> str | None:
    for name in schema.get("required", []):
        if name not in value:
            return f"{name!r} is missing"
    known = schema.get("properties", {})
    for name, item in value.items():
        part = known.get(name, schema.get("additionalProperties", True))
        if part is False:
            return f"{name!r} is not allowed"
        if said := wrong(part, item, f"{where}.{name}"):
            return said
    return None


def _combined_wrong(schema: Mapping[str, Any], value: object, where: str) -> str | None:
    for part in schema.get("allOf", []):
        if said := wrong(part, value, where):
            return said
    if "anyOf" in schema and all(wrong(part, value) for part in schema["anyOf"]):
        return f"{where}: fits none of anyOf"
    if "oneOf" in schema and sum(wrong(part, value) is None for part in schema["oneOf"]) != 1:
        return f"{where}: does not fit exactly one of oneOf"
    if "not" in schema and wrong(schema["not"], value) is None:
        return f"{where}: fits what it must not"
    return None


def _key(value: object) -> str:
    """Equal for equal JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(map(_key, value))}]"
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name)}:{_key(item)}" for name, item in sorted(value.items()))
        return f"{{{','.join(pairs)}}}"
    return json.dumps(value)
