"""What votes come to: who wins, how sure that is, and how many more would decide it.

Knows items. Ties and questions where nobody was good are counted and never made into wins. What is
said holds whenever one looks: votes are looked at after each, and gone on with.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

from engine.checks.stats import (
    Strength,
    Win,
    anytime_chance,
    anytime_interval,
    holm,
    more_votes,
    rank,
    sign_test,
    wilson,
)
from store.votes import Item

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models that met.

    Attributes:
        wins: votes for `model`; losses: for `against`; bad: both were.
        again: decided votes on a question that was decided before, which are not counted: they
            tell more of that question, and nothing of others.
        rate: wins among the decided votes, with its 95 % interval; None where none is decided.
        p: holds after any number of votes (`anytime_chance`), as the interval does; corrected
            (Holm) where several pairs are told together.
        sign_p: exact two-sided sign test, corrected likewise: for a number of votes fixed before.
        more: votes that would likely decide, 0 where they did, None where nothing can be promised.
    """

    model: str
    against: str
    wins: int
    losses: int
    ties: int
    bad: int
    again: int
    rate: float | None
    low: float | None
    high: float | None
    p: float
    sign_p: float
    more: int | None

    @property
    def decided(self) -> bool:
        """Whether one is better than the other beyond chance, also for who looks at every vote."""
        return self.p <= ALPHA


@dataclass(frozen=True, slots=True)
class Alone:
    """A model whose answers were judged good or bad, with the rate of good ones."""

    model: str
    good: int
    bad: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Tally:
    """All that some items say; `open` are still to be judged, `void` cannot be."""

    items: int
    judged: int
    open: int
    void: int
    alone: tuple[Alone, ...]
    pairs: tuple[Pair, ...]
    strengths: tuple[Strength, ...]


def tally(items: Sequence[Item], models: Sequence[str] = ()) -> Tally:
    """Count votes.

    Args:
        models: their order; the later of a pair is told against the earlier. By name otherwise.
    """
    order = {model: place for place, model in enumerate(models)}
    found = Counter(item.vote.verdict if item.vote else "open" for item in items)
    voted = [item for item in items if item.vote and item.vote.verdict != "void"]
    single = [item for item in voted if len(item.answers) == 1]
    wins = [win for item in voted if len(item.answers) > 1 for win in _wins(item)]
    names = {name for win in wins for name in (win.winner, win.loser)}
    return Tally(
        len(items),
        len(voted),
        found["open"],
        found["void"],
        tuple(_alone(single)),
        tuple(_pairs([item for item in items if len(item.answers) > 1], order)),
        tuple(rank(wins)) if len(names) > 2 else (),
    )


def verdicts(counts: Tally) -> list[str]:
    """What the votes say, a sentence a model or pair."""
    said = []
    for alone in counts.alone:
        good = share(alone.rate, alone.low, alone.high)
        said.append(f"{alone.model}: {alone.good} of {alone.good + alone.bad} good, {good}")
    for pair in counts.pairs:
        names = f"{pair.model} and {pair.against}"
        if pair.decided:
            better = pair.model if pair.wins > pair.losses else pair.against
            said.append(f"✓ {better} is better (of {names})")
        elif pair.more:
            said.append(f"cannot tell {names} apart; about {pair.more:,} more decided votes might")
        else:
            said.append(f"cannot tell {names} apart")
    return said


def numbers(counts: Tally) -> list[str]:
    """What the verdicts rest on, a line a pair, then a line a strength."""
    said = [
        f"{pair.model} {pair.wins} : {pair.losses} {pair.against}, {pair.ties} ties, "
        f"{pair.bad} both bad; wins {share(pair.rate, pair.low, pair.high)}; "
        f"p {pair.p:.2g} whenever you look, sign test {pair.sign_p:.2g} if you look once"
        for pair in counts.pairs
    ]
    for one in counts.strengths:
        said.append(f"{one.name}: strength {one.log:+.2f} ({one.low:+.2f} – {one.high:+.2f})")
    return said


def share(rate: float | None, low: float | None, high: float | None) -> str:
    """`70% (40% – 89%)`: a rate and its interval."""
    if rate is None or low is None or high is None:
        return "–"
    return f"{rate:.0%} ({low:.0%} – {high:.0%})"


def _wins(item: Item) -> list[Win]:
    vote, models = item.vote, [answer.model for answer in item.answers]
    if vote is None or vote.verdict not in ("better", "tie", "bad"):
        return []
    if vote.best is None:
        return [Win(*two, tie=True, group=item.turns) for two in itertools.combinations(models, 2)]
    best = item.answers[vote.best]
    others = [answer for place, answer in enumerate(item.answers) if place != vote.best]
    return [
        Win(best.model, other.model, tie=other.text == best.text, group=item.turns)
        for other in others
    ]


def _alone(items: Iterable[Item]) -> list[Alone]:
    good: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for item in items:
        if item.vote is not None:
            counts = good if item.vote.verdict == "better" else bad
            counts[item.answers[0].model] += 1
    return [
        Alone(model, good[model], bad[model], *_rate(good[model], bad[model]))
        for model in sorted(good.keys() | bad.keys())
    ]


def _pairs(items: Iterable[Item], order: dict[str, int]) -> list[Pair]:
    """Every two that met. Those that are still to meet are corrected for from the beginning."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    decided: set[Hashable] = set()
    for item in items:
        for one, two in itertools.combinations(range(len(item.answers)), 2):
            first, second = (item.answers[place].model for place in (one, two))
            if first == second:
                continue
            later, earlier = sorted((first, second), key=lambda m: (-order.get(m, -1), m))
            met = counts.setdefault((later, earlier), Counter())
            vote = item.vote
            if vote is None or vote.verdict == "void" or vote.best not in (None, one, two):
                continue
            question = (later, earlier, item.turns)
            if vote.best is None:
                met[vote.verdict] += 1
            elif item.answers[one].text == item.answers[two].text:
                met["tie"] += 1  # of more than two: the best is no better than its double
            elif question in decided:
                met["again"] += 1
            else:
                decided.add(question)
                met["wins" if item.answers[vote.best].model == later else "losses"] += 1
    return _corrected([_pair(*names, met, len(counts)) for names, met in sorted(counts.items())])


def _pair(model: str, against: str, met: Counter[str], family: int) -> Pair:
    """One pair of so many, not yet corrected but for the votes that it still needs."""
    wins, losses = met["wins"], met["losses"]
    low, high = anytime_interval(wins, losses) or (None, None)
    return Pair(
        model,
        against,
        wins,
        losses,
        met["tie"],
        met["bad"],
        met["again"],
        wins / (wins + losses) if wins + losses else None,
        low,
        high,
        anytime_chance(wins, losses),
        sign_test(wins, losses),
        more_votes(wins, losses, ALPHA / family),
    )


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """Those that have votes, with Holm's correction for all."""
    chances = holm([pair.p for pair in pairs])
    signs = holm([pair.sign_p for pair in pairs])
    told = [
        replace(pair, p=p, sign_p=sign_p, more=0 if p <= ALPHA else pair.more)
        for pair, p, sign_p in zip(pairs, chances, signs, strict=True)
    ]
    return [pair for pair in told if pair.wins + pair.losses + pair.ties + pair.bad]


def _rate(good: int, bad: int) -> tuple[float | None, float | None, float | None]:
    bounds = wilson(good, good + bad)
    return (None, None, None) if bounds is None else (good / (good + bad), *bounds)
