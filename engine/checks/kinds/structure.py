"""Checks of answers that are data: JSON, and JSON of a given shape.

Knows texts and schemas. What not every reader reads alike (keys that are there twice, NaN) is not
taken for JSON.
"""

from __future__ import annotations

import json
import re

from engine.checks.kinds.base import PASS, Answer, Check, Kind, Outcome
from engine.checks.kinds.schema import wrong
from engine.data.row.strict import WrongError, load

_FENCE = "```"
_LANGUAGE = re.compile(r"[\w+-]{0,30}")


def unfenced(text: str) -> str:
    """What is in a code fence, where the whole answer is one."""
    bare = text.strip()
    if not (bare.startswith(_FENCE) and bare.endswith(_FENCE) and bare.count(_FENCE) == 2):
        return text
    language, newline, inside = bare[len(_FENCE) : -len(_FENCE)].partition("\n")
    return inside if newline and _LANGUAGE.fullmatch(language.strip()) else text


def _json(check: Check, _values: tuple[str, ...], answer: Answer) -> Outcome:
    text = unfenced(answer.text) if check.fenced else answer.text
    try:
        value = load(text.strip().encode("utf-8", "surrogatepass"))
    except WrongError as error:
        return Outcome("fail", str(error)[:200])
    if check.schema:
        said = wrong(json.loads(check.schema), value)
        if said:
            return Outcome("fail", said)
    return PASS


KINDS = {
    "json": Kind(
        _json, "is JSON; `fenced` allows a code fence around it", "none", frozenset({"fenced"})
    ),
    "json_schema": Kind(
        _json, "is JSON that fits `schema`", "none", frozenset({"fenced", "schema"})
    ),
}
