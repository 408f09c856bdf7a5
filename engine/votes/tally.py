"""What votes come to: who wins, how sure that is, and how many more would decide it.

Knows items. Ties and questions where nobody was good are counted and never made into wins.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine.checks.stats import (
    Strength,
    Win,
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
        rate: wins among the decided votes, with its 95 % interval; None where none is decided.
        p: exact two-sided sign test, corrected (Holm) where several pairs are told together.
        more: votes that would likely decide, 0 where they did, None where nothing can be promised.
    """

    model: str
    against: str
    wins: int
    losses: int
    ties: int
    bad: int
    rate: float | None
    low: float | None
    high: float | None
    p: float
    more: int | None

    @property
    def decided(self) -> bool:
        """Whether one is better than the other beyond chance."""
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
        tuple(_pairs([item for item in voted if len(item.answers) > 1], order)),
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
    others = [model for place, model in enumerate(models) if place != vote.best]
    return [Win(models[vote.best], other, group=item.turns) for other in others]


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
    counts: dict[tuple[str, str], Counter[str]] = {}
    for item in items:
        vote = item.vote
        assert vote is not None
        for one, two in itertools.combinations(range(len(item.answers)), 2):
            first, second = (item.answers[place].model for place in (one, two))
            if first == second or (vote.best is not None and vote.best not in (one, two)):
                continue
            later, earlier = sorted((first, second), key=lambda m: (-order.get(m, -1), m))
            met = counts.setdefault((later, earlier), Counter())
            if vote.best is None:
                met[vote.verdict] += 1
            else:
                met["wins" if item.answers[vote.best].model == later else "losses"] += 1
    found = [_pair(*names, met) for names, met in sorted(counts.items())]
    chances = holm([pair.p for pair in found])
    return [replace(pair, p=chance) for pair, chance in zip(found, chances, strict=True)]


def _pair(model: str, against: str, met: Counter[str]) -> Pair:
    wins, losses = met["wins"], met["losses"]
    chance = sign_test(wins, losses)
    more = more_votes(wins, losses)
    counts = (wins, losses, met["tie"], met["bad"])
    return Pair(model, against, *counts, *_rate(wins, losses), chance, more)


def _rate(wins: int, losses: int) -> tuple[float | None, float | None, float | None]:
    bounds = wilson(wins, wins + losses)
    return (None, None, None) if bounds is None else (wins / (wins + losses), *bounds)
