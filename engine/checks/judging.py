"""What a suite's answers come to: passed, failed, skipped, or could not be told.

Knows suites and answers. Does not ask models or record: a rate is over the answers that passed or
failed, and the four outcomes are never mixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.checks import kinds, patterns
from engine.checks.kinds import NOT_JUDGED, Answer, Outcome, Verdict
from engine.checks.stats import effective_size, wilson
from engine.checks.suite import Group, Prompt, Suite

Told = Answer | str
"""What came of a prompt: an answer, or why there is none."""
Opinions = Mapping[tuple[int, int, int], Outcome]
"""What judges said, by the places of model, prompt (of all that is asked) and check."""
LEAST_CLUSTERS = 6
"""Fewer cannot differ by more than chance in any test: then prompts of one template count each,
and what is found is about these templates alone."""


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What one answer came to in one check; `why` where it did not pass."""

    check: str
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt's outcome. `failed` lists the checks it did not pass, or what went wrong.

    It passes where every check that applies does. It is skipped where none applies, or one could
    not be looked at here.

    Attributes:
        judge: the model whose opinion the verdict is; empty for a fact.
    """

    group: str
    prompt: str
    system: str | None
    expect: str | None
    answer: str
    stop: str | None
    verdict: Verdict
    failed: tuple[str, ...]
    checks: tuple[CheckOutcome, ...] = ()
    weight: float = 1.0
    tags: tuple[str, ...] = ()
    cluster: str = ""
    judge: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """Outcomes with the rate of passing and its 95 % Wilson interval, None where none counts.

    Attributes:
        group: the group that a check belongs to; empty for what is no check.
        judge: the model whose opinion it counts; empty where facts are counted.
    """

    name: str
    passed: int
    failed: int
    skipped: int
    errors: int
    rate: float | None
    low: float | None
    high: float | None
    group: str = ""
    judge: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """The rate of passing by weight, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ModelResult:
    """A suite on one model: `model` as it was named, `ref` with the step filled in.

    Attributes:
        total: of what is deterministic alone, unless all is judged.
        checks: every check of every group. tags: every tag.
        score: None where all prompts weigh the same.
    """

    model: str
    ref: str
    total: Count
    groups: tuple[Count, ...]
    items: tuple[Item, ...]
    checks: tuple[Count, ...] = ()
    tags: tuple[Count, ...] = ()
    score: Score | None = None

    @property
    def passed(self) -> int:
        return self.total.passed

    @property
    def failed(self) -> int:
        return self.total.failed

    @property
    def skipped(self) -> int:
        return self.total.skipped

    @property
    def errors(self) -> int:
        return self.total.errors

    @property
    def rate(self) -> float | None:
        return self.total.rate


def judged(
    suite: Suite, answers: Sequence[Sequence[Told]], opinions: Opinions | None = None
) -> list[tuple[Item, ...]]:
    """Every prompt's outcome, per model.

    Args:
        answers: per model, one for each prompt in the order of the suite's groups.
        opinions: what the judges of rubrics said; without, rubrics are skipped.
    """
    asked = suite.asked
    found = _search(asked, answers)
    return [
        tuple(
            _item(group, prompt, told, found, _said(opinions or {}, column, place, group))
            for place, ((group, prompt), told) in enumerate(zip(asked, tolds, strict=True))
        )
        for column, tolds in enumerate(answers)
    ]


def _said(opinions: Opinions, column: int, place: int, group: Group) -> list[Outcome]:
    return [opinions.get((column, place, i), NOT_JUDGED) for i in range(len(group.checks))]


def facts(items: Sequence[Item]) -> list[Item]:
    """The items that no judge decided; all where judges decided all."""
    return [item for item in items if not item.judge] or list(items)


def result(suite: Suite, model: str, ref: str, items: tuple[Item, ...]) -> ModelResult:
    """Everything that is counted of one model's outcomes."""
    return ModelResult(
        model,
        ref,
        counted(suite.name, facts(items)),
        by_group(suite, items),
        items,
        by_check(suite, items),
        tuple(
            counted(tag, [item for item in facts(items) if tag in item.tags]) for tag in suite.tags
        ),
        scored(facts(items)),
    )


def counted(name: str, items: Sequence[Item]) -> Count:
    """How many of the items came to what."""
    judges = {item.judge for item in items}
    judge = next(iter(judges)) if len(judges) == 1 else ""
    return _count(name, [(item.verdict, item.cluster) for item in items], judge=judge)


def by_group(suite: Suite, items: Sequence[Item]) -> tuple[Count, ...]:
    """The same for each group of the suite."""
    return tuple(
        counted(group.name, [item for item in items if item.group == group.name])
        for group in suite.groups
    )


def by_check(suite: Suite, items: Sequence[Item]) -> tuple[Count, ...]:
    """The same for each check of each group."""
    found = []
    for group in suite.groups:
        own = [item for item in items if item.group == group.name]
        for place, check in enumerate(group.checks):
            verdicts = [(item.checks[place].verdict, item.cluster) for item in own]
            found.append(_count(check.title, verdicts, group.name, group.judge))
    return tuple(found)


def scored(items: Sequence[Item]) -> Score | None:
    """The weighted rate, or None where it would be the plain one."""
    own = [item for item in items if item.verdict in ("pass", "fail")]
    weights = [item.weight for item in own]
    if len(set(weights)) < 2:
        return None
    passed = [float(item.verdict == "pass") for item in own]
    value = sum(w * p for w, p in zip(weights, passed, strict=True)) / sum(weights)
    size = effective_size(passed, clusters(item.cluster for item in own), weights)
    low, high = wilson(value * size, size) or (0.0, 1.0)
    return Score(value, low, high)


def clusters(named: Iterable[str]) -> list[str] | None:
    """Which prompts are alike, those of none apart; None where each is to count by itself."""
    keys = [name or f"\0{place}" for place, name in enumerate(named)]
    many = len(set(keys))
    return None if many == len(keys) or many < LEAST_CLUSTERS else keys


def _count(
    name: str, verdicts: Sequence[tuple[Verdict, str]], group: str = "", judge: str = ""
) -> Count:
    found = Counter(verdict for verdict, _ in verdicts)
    own = [(verdict, cluster) for verdict, cluster in verdicts if verdict in ("pass", "fail")]
    size = effective_size([v == "pass" for v, _ in own], clusters(cluster for _, cluster in own))
    rate = found["pass"] / len(own) if own else None
    low, high = wilson((rate or 0.0) * size, size) or (None, None)
    outcomes = (found["pass"], found["fail"], found["skipped"], found["error"])
    return Count(name, *outcomes, rate, low, high, group, judge)


def _search(
    asked: Sequence[tuple[Group, Prompt]], answers: Sequence[Sequence[Told]]
) -> dict[patterns.Pair, bool | None]:
    """Every pattern of the suite on every answer, in one go."""
    return patterns.search(
        (value, told.text[: patterns.MAX_TEXT], check.ignore_case)
        for column in answers
        for (group, prompt), told in zip(asked, column, strict=True)
        if isinstance(told, Answer)
        for own in group.checks
        for check in kinds.patterns_of(own)
        for value in kinds.wanted(check, prompt.fields)
    )


def _item(
    group: Group,
    prompt: Prompt,
    told: Told,
    found: dict[patterns.Pair, bool | None],
    opinions: Sequence[Outcome],
) -> Item:
    if isinstance(told, str):
        text, stop = "", None
        outcomes = [Outcome("error", told) for _ in group.checks]
        said = [told]
    else:
        text, stop = told.text, told.stop
        fields = prompt.fields
        outcomes = [
            kinds.judge(check, fields, told, lambda *pair: found[pair], opinion)
            for check, opinion in zip(group.checks, opinions, strict=True)
        ]
        said = []
    verdict = _verdict(outcomes)
    titled = list(zip((check.title for check in group.checks), outcomes, strict=True))
    if not said:
        of = [(title, one) for title, one in titled if one.verdict == verdict != "pass"]
        said = [t if verdict == "fail" else f"{t}: {one.why}" for t, one in of]
    return Item(
        group.name,
        prompt.text,
        prompt.system,
        prompt.expect,
        text,
        stop,
        verdict,
        tuple(said),
        tuple(CheckOutcome(title, one.verdict, one.why) for title, one in titled),
        prompt.weight,
        prompt.tags,
        prompt.cluster,
        group.judge,
    )


def _verdict(outcomes: Sequence[Outcome]) -> Verdict:
    """All of a prompt's checks together."""
    found = {outcome.verdict for outcome in outcomes}
    if "fail" in found:
        return "fail"
    if "error" in found:
        return "error"
    unseen = any(outcome.verdict == "skipped" and outcome.applies for outcome in outcomes)
    return "pass" if "pass" in found and not unseen else "skipped"
