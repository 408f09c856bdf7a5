"""What people say of answers that a model judged, and whether the judge agrees with them.

Knows labels given for a rubric, and votes of chats and reviews on the same question and answer: a
label counts before a vote. Of votes it takes good and bad for a rule about one answer, and which
of two is better for a comparison. Does not ask anyone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.checks.judging import ModelResult
from engine.checks.kinds import Check
from engine.checks.rubrics import UNDECIDED
from engine.checks.stats import Agreement, agreement
from engine.checks.suite import Group, Prompt, Suite
from store import labels, votes
from store.catalogue import Catalogue

Turns = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """One rubric of a suite, and its judge beside people.

    Attributes:
        found: None where no answer that it judged was judged by a person.
        undecided: comparisons on which the judge changed its mind with the order.
    """

    group: str
    check: str
    judge: str
    found: Agreement | None
    undecided: int = 0

    def words(self) -> str:
        """For a reader, whether the judge was checked."""
        order = f"; by the order alone on {self.undecided:,}" if self.undecided else ""
        if self.found is None:
            return f"{self.judge} as a judge: not checked against people{order}"
        one = self.found
        told = (
            f"{self.judge} agrees with people on {one.same} of {one.total} answers "
            f"({one.same / one.total:.0%}, {one.low:.0%} – {one.high:.0%})"
        )
        kappa = "cannot be told" if one.kappa is None else f"{one.kappa:.2f}"
        return f"{told}; kappa {kappa} ({one.kappa_low:.2f} – {one.kappa_high:.2f}){order}"


@dataclass(frozen=True, slots=True)
class Case:
    """One answer that a judge decided: what a person may be asked about.

    Attributes:
        key: what its label is known by.
        beside: the other answer of a comparison.
    """

    key: str
    check: Check
    prompt: Prompt
    answer: str
    beside: str | None
    passed: bool


def cases(suite: Suite, results: Sequence[ModelResult]) -> list[tuple[Group, int, list[Case]]]:
    """Every rubric of a suite (its group, its place there) with what its judge decided, once each.

    Comparisons are left out where they have not decided.
    """
    found = []
    for group in suite.groups:
        for place, check in enumerate(group.checks):
            if check.judge:
                own = {case.key: case for case in _cases(suite, group, place, results)}
                found.append((group, place, list(own.values())))
    return found


def judges(cat: Catalogue, suite: Suite, results: Sequence[ModelResult]) -> list[Judged]:
    """Every rubric's judge beside the people who judged the same answers."""
    every = cases(suite, results)
    if not every:
        return []
    voted = _Votes(cat)
    found = []
    for group, place, own in every:
        given = labels.find(cat, [case.key for case in own])
        pairs = []
        for case in own:
            said = given.get(case.key, voted.of(case))
            if said is not None:
                pairs.append((case.passed, said))
        check = group.checks[place]
        turned = sum(
            item.group == group.name and item.checks[place].why.startswith(UNDECIDED)
            for result in results
            for item in result.items
        )
        found.append(Judged(group.name, check.title, check.judge, agreement(pairs), turned))
    return found


def _cases(
    suite: Suite, group: Group, place: int, results: Sequence[ModelResult]
) -> Iterator[Case]:
    check = group.checks[place]
    base = results[0].items if results else ()
    for result in results:
        for (own, prompt), item, before in zip(suite.asked, result.items, base, strict=True):
            if own is not group or item.checks[place].verdict not in ("pass", "fail"):
                continue
            beside = {"base": before.answer, "expect": prompt.expect, "": None}[check.against]
            key = _key(check, prompt, item.answer, beside)
            passed = item.checks[place].verdict == "pass"
            yield Case(key, check, prompt, item.answer, beside, passed)


def _key(check: Check, prompt: Prompt, answer: str, beside: str | None) -> str:
    """Of a rule, a conversation and an answer, and of the answer beside it in a comparison."""
    said = [check.values[0], _turns(prompt), answer, beside]
    return hashlib.sha256(json.dumps(said).encode("utf-8", "surrogatepass")).hexdigest()


def _turns(prompt: Prompt) -> Turns:
    return tuple((turn.role, turn.text) for turn in prompt.turns)


class _Votes:
    """The votes of chats and reviews, by what was judged."""

    def __init__(self, cat: Catalogue) -> None:
        self._good: dict[tuple[Turns, str], bool] = {}
        self._better: dict[tuple[Turns, frozenset[str]], str] = {}
        for item in votes.all_items(cat):
            if item.vote is None or item.vote.verdict not in ("better", "bad"):
                continue
            said = [(answer.text or "").strip() for answer in item.answers]
            if item.vote.verdict == "better" and item.vote.best is not None and len(said) > 1:
                self._better[item.turns, frozenset(said)] = said[item.vote.best]
            else:
                for text in said:
                    self._good[item.turns, text] = item.vote.verdict == "better"

    def of(self, case: Case) -> bool | None:
        """Whether a person found it good, or the better of two; None where nobody said."""
        turns, said = _turns(case.prompt), case.answer.strip()
        if case.beside is None:
            return self._good.get((turns, said))
        better = self._better.get((turns, frozenset((said, case.beside.strip()))))
        return None if better is None else better == said
