"""Two models on the same suite: which answers flipped, and whether that is more than chance.

Knows results. The first model is the base that every other is held against; looking at several
others, or at several checks, is corrected for. Does not ask models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from engine.checks.judging import Item, ModelResult, clusters, facts
from engine.checks.kinds import Verdict
from engine.checks.stats import (
    bootstrap_difference,
    detectable_drop,
    difference_test,
    effective_size,
    holm,
)

ALPHA = 0.05
Said = Literal["better", "worse", "cannot tell apart"]


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from the base, over the prompts that both passed or failed.

    Attributes:
        up, down: places (of the suite's prompts) that fail with the base and pass now; the
            other way round.
        p: exact McNemar, or its kind for whole clusters. p_holm: among all that are looked at.
        change: of the rate, as a share of 1, with its 95 % bootstrap interval.
        detectable_drop: the smallest that would have shown four times in five, after the same
            correction; None where none would.
        templates: how many templates the prompts come from, where so few that what is found is
            about these alone; 0 otherwise.
    """

    name: str
    group: str
    pairs: int
    up: tuple[int, ...]
    down: tuple[int, ...]
    p: float
    p_holm: float
    change: float | None
    low: float | None
    high: float | None
    detectable_drop: float | None
    templates: int = 0

    @property
    def said(self) -> Said:
        """Better or worse only where chance would say so at most once in twenty."""
        if self.p_holm > ALPHA or len(self.up) == len(self.down):
            return "cannot tell apart"
        return "better" if len(self.up) > len(self.down) else "worse"


@dataclass(frozen=True, slots=True)
class Pair:
    """One model against the base, as both were named: over all, group by group, check by check.

    Where some is counted and some is judged by a model, `total` is about what is counted.
    """

    base: str
    model: str
    total: Difference
    groups: tuple[Difference, ...]
    checks: tuple[Difference, ...]


def compare(results: Sequence[ModelResult]) -> list[Pair]:
    """Every other model against the first."""
    if len(results) < 2:
        return []
    base, *others = results
    totals = _corrected([_total(base, other, len(others)) for other in others])
    groups = [_by_group(base, other, len(others)) for other in others]
    checks = [_by_check(base, other, len(others)) for other in others]
    by_group, by_check = (
        iter(_corrected([one for some in found for one in some])) for found in (groups, checks)
    )
    return [
        Pair(
            base.model,
            other.model,
            total,
            tuple(next(by_group) for _ in grouped),
            tuple(next(by_check) for _ in checked),
        )
        for other, total, grouped, checked in zip(others, totals, groups, checks, strict=True)
    ]


def in_words(difference: Difference) -> str:
    """The finding for a reader: what is sure, by how many prompts, what could have been seen."""
    if not difference.pairs:
        return "nothing to compare: no prompt was judged with both"
    seen = difference.detectable_drop
    could = (
        "too few pass with the base to see any drop"
        if seen is None
        else f"smallest drop it could see {100 * seen:.1f} points"
    )
    few = difference.templates
    which = "this template" if few == 1 else f"these {few} templates"
    about = f"; about {which} alone" if few else ""
    among = " after Holm" if difference.p_holm > difference.p else ""
    return (
        f"{difference.said}: {len(difference.up)} up, {len(difference.down)} down "
        f"of {difference.pairs:,} (p {_chance(difference.p_holm)}{among}; {could}{about})"
    )


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _total(base: ModelResult, other: ModelResult, others: int) -> Difference:
    counted = {id(item) for item in facts(base.items)}
    own = [i for i, item in enumerate(base.items) if id(item) in counted]
    return _over("all", "", base, other, own, others)


def _by_group(base: ModelResult, other: ModelResult, others: int) -> list[Difference]:
    family = others * max(len(base.groups), 1)
    return [
        _over(
            group.name,
            group.name,
            base,
            other,
            [i for i, item in enumerate(base.items) if item.group == group.name],
            family,
        )
        for group in base.groups
    ]


def _over(
    name: str, group: str, base: ModelResult, other: ModelResult, own: Sequence[int], family: int
) -> Difference:
    """The prompts of these places, all their checks together."""
    before, after = ([result.items[i].verdict for i in own] for result in (base, other))
    some = _difference(name, group, before, after, [base.items[i] for i in own], family)
    return _placed(some, own)


def _placed(some: Difference, own: Sequence[int]) -> Difference:
    """The same with places of the suite's prompts."""
    up, down = (tuple(own[i] for i in places) for places in (some.up, some.down))
    return replace(some, up=up, down=down)


def _by_check(base: ModelResult, other: ModelResult, others: int) -> list[Difference]:
    """In the order of the base's checks: each group's, one after the other."""
    found = []
    family = others * max(len(base.checks), 1)
    place = 0
    for count, before in zip(base.checks, (None, *base.checks), strict=False):
        place = place + 1 if before is not None and before.group == count.group else 0
        own = [i for i, item in enumerate(base.items) if item.group == count.group]
        ours, theirs = (
            [result.items[i].checks[place].verdict for i in own] for result in (base, other)
        )
        some = _difference(
            count.name, count.group, ours, theirs, [base.items[i] for i in own], family
        )
        found.append(_placed(some, own))
    return found


def _difference(
    name: str,
    group: str,
    before: Sequence[Verdict],
    after: Sequence[Verdict],
    items: Sequence[Item],
    family: int,
) -> Difference:
    """One comparison, not yet corrected.

    Args:
        family: how many comparisons are looked at together.
    """
    changes = {
        place: (new == "pass") - (old == "pass")
        for place, (old, new) in enumerate(zip(before, after, strict=True))
        if old in ("pass", "fail") and new in ("pass", "fail")
    }
    values = list(changes.values())
    named = [items[place].cluster for place in changes]
    alike = clusters(_alike([items[place] for place in changes]))
    p = difference_test(values, alike)
    low, high = bootstrap_difference(values, alike) or (None, None)
    up, down = (tuple(i for i, v in changes.items() if v == way) for way in (1, -1))
    size = effective_size(values, alike)
    seen = None
    if values:
        rate = sum(before[place] == "pass" for place in changes) / len(values)
        churn = min(len(up), len(down)) / len(values)
        seen = detectable_drop(size, rate, churn, alpha=ALPHA / family)
    templates = len({one for one in named if one})
    return Difference(
        name,
        group,
        len(values),
        up,
        down,
        p,
        p,
        sum(values) / len(values) if values else None,
        low,
        high,
        seen,
        templates if alike is None and templates < len([one for one in named if one]) else 0,
    )


def _alike(items: Sequence[Item]) -> list[str]:
    """What each prompt shares with others: its cluster, or itself where two groups ask it."""
    asked = Counter((item.system, item.prompt) for item in items)
    return [
        item.cluster or (f"\0{item.prompt}" if asked[item.system, item.prompt] > 1 else "")
        for item in items
    ]


def _corrected(found: Sequence[Difference]) -> list[Difference]:
    adjusted = holm([one.p for one in found])
    return [replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True)]
