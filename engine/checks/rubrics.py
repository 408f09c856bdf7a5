"""Rubrics: a rule that a local model judges answers by.

Knows how a judge is asked and what its reply means. A reply that names no choice is an error, not
a failure. Where two answers are compared both orders are asked, and a judge that changes its mind
with the order has not decided: that is skipped. Does not know whether a judge is any good (see
`people`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.chat.client import Sampling
from engine.chat.protocol import Failed
from engine.checks import asking
from engine.checks.judging import Opinions, Told
from engine.checks.kinds import Answer, Check, Outcome, filled
from engine.checks.kinds.base import outcome
from engine.checks.suite import Prompt, Suite
from engine.data.rows import Turn
from store.answers import Known
from store.catalogue import Catalogue

SAMPLING = Sampling(max_tokens=16)
"""Greedy, and no longer than a choice."""
UNDECIDED = "undecided"
ABSOLUTE = """You judge an answer by one rule.

Rule: {rubric}

Question: {question}

Answer: {answer}

Judge the answer by the rule alone. Reply with one of these and nothing else: {choices}."""
COMPARING = """You compare two answers to a question by one rule.

Rule: {rubric}

Question: {question}

Answer A: {a}

Answer B: {b}

Which answer keeps better to the rule? Reply with A or B and nothing else."""

Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Question:
    """What a judge is asked about one answer: once, or once in each order."""

    check: Check
    turns: tuple[tuple[Turn, ...], ...]


def opinions(
    cat: Catalogue,
    suite: Suite,
    told: Sequence[Sequence[Told]],
    on_progress: Callable[[int, int], None] | None = None,
) -> Opinions:
    """What every judge of a suite says of the answers; its replies are kept as answers are.

    Raises:
        WorkbenchError: a judge cannot be asked at all, in the words of its first error.
    """
    questions, found = _questions(suite, told)
    for judge, own in _by_judge(questions).items():
        conversations = [turns for place in own for turns in questions[place].turns]
        columns = asking.ask(cat, [judge], conversations, SAMPLING, on_progress)
        found |= _read(questions, own, columns[0][1])
    return found


def known(cat: Catalogue, suite: Suite, told: Sequence[Sequence[Told]]) -> tuple[Opinions, int]:
    """What the judges said already, and how many of their replies are missing."""
    questions, found = _questions(suite, told)
    missing = 0
    for judge, own in _by_judge(questions).items():
        conversations = [turns for place in own for turns in questions[place].turns]
        columns, lacking = asking.known(cat, [judge], conversations, SAMPLING)
        missing += lacking
        found |= _read(questions, own, columns[0][1])
    return found, missing


def _by_judge(questions: dict[Place, _Question]) -> dict[str, list[Place]]:
    own: defaultdict[str, list[Place]] = defaultdict(list)
    for place, question in questions.items():
        own[question.check.judge].append(place)
    return own


def _questions(
    suite: Suite, told: Sequence[Sequence[Told]]
) -> tuple[dict[Place, _Question], dict[Place, Outcome]]:
    """What is to be asked, and what is decided without a judge."""
    asked, decided = {}, {}
    for column, tolds in enumerate(told):
        for place, ((group, prompt), answer) in enumerate(zip(suite.asked, tolds, strict=True)):
            if not group.judge or not isinstance(answer, Answer):
                continue
            for number, check in enumerate(group.checks):
                found = _question(check, prompt, answer, told[0][place], first=column == 0)
                if isinstance(found, _Question):
                    asked[column, place, number] = found
                else:
                    decided[column, place, number] = found
    return asked, decided


def _question(
    check: Check, prompt: Prompt, answer: Answer, base: Told, *, first: bool
) -> _Question | Outcome:
    fields = prompt.fields | {
        "rubric": filled(check.values[0], prompt.fields),
        "question": _said_before(prompt),
        "choices": ", ".join(check.choices),
    }
    if not check.against:
        text = filled(check.template or ABSOLUTE, fields | {"answer": answer.text})
        return _Question(check, ((Turn("user", text),),))
    if check.against == "base" and first:
        return Outcome("skipped", "this is the base itself")
    other = base if check.against == "base" else prompt.expect
    if check.against == "base" and not isinstance(other, Answer):
        return Outcome("error", "the base has no answer to compare with")
    beside = other.text if isinstance(other, Answer) else other
    if beside is None:
        return Outcome("error", "the prompt expects no answer to compare with")
    if beside.strip() == answer.text.strip():
        return Outcome("skipped", "both answers are the same")
    template = check.template or COMPARING
    orders = ({"a": answer.text, "b": beside}, {"a": beside, "b": answer.text})
    return _Question(
        check, tuple((Turn("user", filled(template, fields | one)),) for one in orders)
    )


def _said_before(prompt: Prompt) -> str:
    """The question, with the conversation before it where there is one."""
    if not prompt.before:
        return prompt.text
    return "\n".join([*(f"{turn.role}: {turn.text}" for turn in prompt.before), prompt.text])


def _read(
    questions: dict[Place, _Question],
    own: Sequence[Place],
    replies: Sequence[Known | Failed | None],
) -> dict[Place, Outcome]:
    """The outcomes of one judge's replies, in the order of its questions."""
    coming = iter(replies)
    return {
        place: _outcome(questions[place].check, [next(coming) for _ in questions[place].turns])
        for place in own
    }


def _outcome(check: Check, replies: Sequence[Known | Failed | None]) -> Outcome:
    for reply in replies:
        if not isinstance(reply, Known):
            why = reply.message if isinstance(reply, Failed) else "not asked yet"
            return Outcome("error", f"the judge: {why}")
    choices = ("A", "B") if check.against else check.choices
    said = [chosen(reply.text, choices) for reply in replies if isinstance(reply, Known)]
    for choice, reply in zip(said, replies, strict=True):
        if choice is None and isinstance(reply, Known):
            words = " ".join(reply.text.split())[:80]
            return Outcome("error", f"the judge said none of {', '.join(choices)}: {words!r}")
    if not check.against:
        accepted = check.accept or check.choices[:1]
        return outcome(said[0] in accepted, f"the judge said {said[0]}")
    if said[0] == said[1]:
        return Outcome("skipped", f"{UNDECIDED}: the judge took {said[0]} in either order")
    return outcome(said[0] == "A", "the judge takes the other answer, in either order")


def chosen(reply: str, choices: Sequence[str]) -> str | None:
    """The choice that a reply begins with and goes no further, or else the only one it names."""
    reply = reply.strip().lstrip("\"'*`(")
    for flags in (0, re.IGNORECASE):
        every = [re.escape(choice) for choice in sorted(choices, key=len, reverse=True)]
        alone = re.match(rf"({'|'.join(every)})[ \t]*($|[^\w \t])", reply, flags)
        if alone is not None:
            return next(one for one in choices if one.casefold() == alone[1].casefold())
        named = [
            choice
            for choice in choices
            if re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", reply, flags)
        ]
        if named:
            return named[0] if len(named) == 1 else None
    return None
