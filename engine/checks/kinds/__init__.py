"""The checks: what each kind asks of one answer. All but the rubric are deterministic.

Knows texts and stop reasons. Does not know models or where the values came from; what a judge said
of a rubric is brought along. A model's output is only ever read, never executed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.checks.kinds import measures, shell, structure, texts
from engine.checks.kinds.base import PASS, Answer, Check, Kind, Outcome, Search, Verdict, outcome
from engine.checks.kinds.measures import LANGUAGES, UNITS, WHICH
from engine.checks.kinds.texts import REFUSALS, chrf, first_sentence
from engine.checks.patterns import MAX_TEXT

__all__ = [
    "EXPECT",
    "KINDS",
    "LANGUAGES",
    "NAMES",
    "NOT_JUDGED",
    "REFUSALS",
    "RUBRIC",
    "UNITS",
    "WHICH",
    "Answer",
    "Check",
    "Kind",
    "Outcome",
    "Search",
    "Verdict",
    "chrf",
    "filled",
    "first_sentence",
    "judge",
    "named",
    "patterns_of",
    "wanted",
]

EXPECT = "{expect}"
RUBRIC = "rubric"
NOT_JUDGED = Outcome("skipped", "a judge is asked by `workbench check` alone")
_FIELD = re.compile(r"\{(\w+)\}")
_PATTERNS = frozenset({"regex", "not_regex"})


def _elsewhere(_check: Check, _values: tuple[str, ...], _answer: Answer) -> Outcome:
    raise AssertionError("patterns and rubrics are decided in `judge`")


_IGNORES = frozenset({"ignore_case"})
KINDS: dict[str, Kind] = {
    **texts.KINDS,
    "regex": Kind(_elsewhere, "one of the regular expressions is found in it", "must", _IGNORES),
    "not_regex": Kind(_elsewhere, "none of the regular expressions is found", "must", _IGNORES),
    **structure.KINDS,
    **measures.KINDS,
    **shell.KINDS,
    RUBRIC: Kind(
        _elsewhere,
        "keeps to a rule, in the eyes of the model `judge`",
        "must",
        frozenset({"judge", "choices", "accept", "against", "template"}),
    ),
}
NAMES = tuple(KINDS)
"""Every kind a suite may name."""


def filled(text: str, fields: Mapping[str, str], *, escape: bool = False) -> str:
    """A text with `{name}` replaced by the field of that name, where there is one."""

    def value(match: re.Match[str]) -> str:
        found = fields.get(match[1])
        return match[0] if found is None else re.escape(found) if escape else found

    return _FIELD.sub(value, text)


def named(text: str) -> set[str]:
    """The names of the fields that a text may have put in."""
    return set(_FIELD.findall(text))


def wanted(check: Check, fields: Mapping[str, str]) -> tuple[str, ...]:
    """The check's values for one prompt, its fields put in."""
    escape = check.kind in _PATTERNS
    return tuple(filled(value, fields, escape=escape) for value in check.values)


def patterns_of(check: Check) -> list[Check]:
    """The check and its conditions, those that search for patterns."""
    every = [check, *(one for one in (check.when, check.unless) if one is not None)]
    return [one for one in every if one.kind in _PATTERNS]


def judge(
    check: Check,
    fields: Mapping[str, str],
    answer: Answer,
    search: Search,
    opinion: Outcome = NOT_JUDGED,
) -> Outcome:
    """What an answer comes to: its conditions first, then the check itself.

    Args:
        opinion: what a judge said, for a rubric.
    """
    for condition, needed in ((check.when, True), (check.unless, False)):
        if condition is None:
            continue
        found = judge(condition, fields, answer, search)
        if found.verdict in ("error", "skipped"):
            return Outcome("error", f"the condition {condition.title}: {found.why}")
        if (found.verdict == "pass") != needed:
            word = "when" if needed else "unless"
            return Outcome("skipped", f"{word} {condition.title}", applies=False)
    if check.kind == RUBRIC:
        found = opinion
    else:
        found = _asked(check, wanted(check, fields), answer, search)
    if check.negate and found.verdict in ("pass", "fail"):
        return Outcome("fail", "it is so") if found.verdict == "pass" else PASS
    return found


def _asked(check: Check, values: tuple[str, ...], answer: Answer, search: Search) -> Outcome:
    if check.kind not in _PATTERNS:
        return KINDS[check.kind].run(check, values, answer)
    found = [search(value, answer.text[:MAX_TEXT], check.ignore_case) for value in values]
    if True not in found and None in found:
        return Outcome("error", "took too long")
    return outcome((True in found) == (check.kind == "regex"))
