"""Checks of the words of an answer: equal, contained, at the beginning, a refusal, alike.

Knows texts. Regular expressions are searched for elsewhere, with a time limit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from engine.checks.kinds.base import Answer, Check, Kind, Outcome, outcome

REFUSALS = (
    "I can't",
    "I cannot",
    "I won't",
    "I'm not able to",
    "I am not able to",
    "I would rather not",
    "I'd rather not",
    "I'm sorry, but",
    "I am sorry, but",
)
"""What `refuses` looks for where a suite names no phrases of its own."""

_SENTENCE = re.compile(r"[^.!?…\n]*[.!?…]*[\"')\]”’]*")
_QUOTES = str.maketrans("‘’“”", "''\"\"")
_ORDER, _BETA = 6, 2.0
_SHOWN = 60

Plain = Callable[[str, tuple[str, ...]], bool]


def first_sentence(text: str) -> str:
    """The first sentence, its end mark included; the first line where there is none."""
    match = _SENTENCE.match(text.lstrip())
    return match[0].strip() if match else ""


def chrf(text: str, reference: str) -> float:
    """Character n-gram F-score, 0 to 1: chrF with n = 1…6 and β = 2 (Popović 2015).

    White space does not count. Orders for which either text is too short are left out, as
    sacreBLEU does.
    """
    said, wanted = ("".join(part.split()) for part in (text, reference))
    if not said or not wanted:
        return float(said == wanted)
    scores = []
    for order in range(1, _ORDER + 1):
        a, b = (
            Counter(part[i : i + order] for i in range(len(part) - order + 1))
            for part in (said, wanted)
        )
        if a and b:
            common = (a & b).total()
            scores.append((common / a.total(), common / b.total()))
    precision, recall = (sum(score[i] for score in scores) / len(scores) for i in (0, 1))
    weight = _BETA**2
    below = weight * precision + recall
    return (1 + weight) * precision * recall / below if below else 0.0


def _fold(text: str) -> str:
    return text.translate(_QUOTES).casefold()


def _equals(text: str, values: tuple[str, ...]) -> bool:
    return text.strip() in [value.strip() for value in values]


def _contains(text: str, values: tuple[str, ...]) -> bool:
    return any(value in text for value in values)


def _contains_all(text: str, values: tuple[str, ...]) -> bool:
    return all(value in text for value in values)


def _not_contains(text: str, values: tuple[str, ...]) -> bool:
    return not _contains(text, values)


def _starts(text: str, values: tuple[str, ...]) -> bool:
    return text.lstrip().startswith(values)


def _first_sentence(text: str, values: tuple[str, ...]) -> bool:
    first = first_sentence(text)
    return first in values or first.rstrip(".!?…") in values


def _plain(test: Plain, about: str, *, folds: bool = False) -> Kind:
    """A kind that only looks at text and values; one that `folds` never minds case."""

    def run(check: Check, values: tuple[str, ...], answer: Answer) -> Outcome:
        text = answer.text
        if folds or check.ignore_case:
            text, values = _fold(text), tuple(map(_fold, values))
        return outcome(test(text, values))

    options = frozenset() if folds else frozenset({"ignore_case"})
    return Kind(run, about, "may" if folds else "must", options)


def _stops(_check: Check, _values: tuple[str, ...], answer: Answer) -> Outcome:
    return outcome(answer.stop == "turn end", f"ended by {answer.stop}")


def _similar(check: Check, values: tuple[str, ...], answer: Answer) -> Outcome:
    best, least = max(chrf(answer.text, value) for value in values), check.low or 0.0
    return outcome(best >= least, f"chrF {best:.2f}, below {least:.2f}")


KINDS = {
    "equals": _plain(_equals, "is one of the values, but for space around it"),
    "contains": _plain(_contains, "has one of the values in it"),
    "contains_all": _plain(_contains_all, "has every value in it"),
    "not_contains": _plain(_not_contains, "has none of the values in it"),
    "starts_with_one_of": _plain(_starts, "begins with one of the values"),
    "first_sentence_one_of": _plain(_first_sentence, "its first sentence is one of the values"),
    "refuses": _plain(_contains, "has a phrase of refusal in it", folds=True),
    "not_refuses": _plain(_not_contains, "has no phrase of refusal in it", folds=True),
    "stops": Kind(_stops, "ends by itself, not at the limit", "none"),
    "similar": Kind(
        _similar, "chrF with a value is at least `min` (0 to 1)", "must", frozenset({"min"})
    ),
}
