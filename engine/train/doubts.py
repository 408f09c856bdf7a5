"""What is worrying about a set of answers: they open alike, they do not end, knowledge is gone.

Each is a comparison with the base's answers to the same prompts, and with the rows that are taught:
a habit that the rows have is no worry. A doubt is raised where chance alone would show as much at
most once in a hundred evaluations. Pure: knows texts and outcomes, no models.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from engine.checks.judging import Item
from engine.checks.kinds import Answer
from engine.checks.stats import at_least, fell
from store.rundb import Event

OPENINGS = "answers collapse to one opening"
ENDINGS = "answers stop ending"

_CHANCE = 0.01
_WORDS = 3
_FEW = 0.3
"""Below this share of the answers, what may be sure is still not worth a warning."""
_SHOWN = 60


def falls(suite: str) -> str:
    """What a doubt about a suite begins with."""
    return f"{suite} falls"


def standing(events: Iterable[Event]) -> dict[str, Event]:
    """The doubts that a run wrote down and that have not passed since, by their first words."""
    found: dict[str, Event] = {}
    for event in events:
        about = event.text.partition(":")[0]
        if event.kind == "warning" and event.step is not None:
            found[about] = event
        elif event.kind == "passed":
            found.pop(about, None)
    return found


def opening(text: str) -> str:
    """The first three words, without case and marks; fewer where there are fewer."""
    words = re.findall(r"\w+(?:['’]\w+)*", text[: 40 * _WORDS].casefold())
    return " ".join(words[:_WORDS])


def openings(texts: Iterable[str]) -> dict[str, float]:
    """The share of each opening, the most common first."""
    found = Counter(map(opening, texts))
    return {words: count / found.total() for words, count in found.most_common()}


def same_opening(answers: Sequence[Answer]) -> float:
    """The share of the answers that begin like most do, from 0 to 1."""
    return max(openings(a.text for a in answers).values(), default=0.0)


def unended(answers: Sequence[Answer]) -> float:
    """The share of the answers that were cut at the length, from 0 to 1."""
    return sum(a.stop == "length" for a in answers) / max(len(answers), 1)


def about_openings(
    now: Sequence[Answer], base: Sequence[Answer], taught: Mapping[str, float]
) -> str | None:
    """Whether the answers collapse to one opening that neither base nor rows have so often.

    Args:
        taught: the share of each opening among the answers of the training rows.
    """
    found = Counter(opening(answer.text) for answer in now)
    if not found:
        return None
    words, count = found.most_common(1)[0]
    before = sum(opening(answer.text) == words for answer in base)
    if not words or not _surprises(count, len(now), before, len(base), taught.get(words, 0.0)):
        return None
    return (
        f"{OPENINGS}: {count} of {len(now)} begin '{words}…' "
        f"(the base: {before} of {len(base)}; the training rows: {taught.get(words, 0.0):.0%}). "
        "Look for templates in the rows, or stop earlier."
    )


def about_endings(now: Sequence[Answer], base: Sequence[Answer], longer: float) -> str | None:
    """Whether answers stop ending.

    Args:
        longer: the share of the training rows whose answers are too long to end within the limit.
    """
    count, before = (sum(a.stop == "length" for a in answers) for answers in (now, base))
    if not _surprises(count, len(now), before, len(base), longer):
        return None
    return (
        f"{ENDINGS}: {count} of {len(now)} run to the limit "
        f"(the base: {before} of {len(base)}). Look whether the turn end of the rows is trained, "
        "and not cut by max_length."
    )


def about_retention(name: str, now: Sequence[Item], base: Sequence[Item]) -> str | None:
    """Whether the base could do what is not done any more: exact McNemar over the prompts."""
    both = zip(base, now, strict=True)
    pairs = [pair for pair in both if all(item.verdict in ("pass", "fail") for item in pair)]
    lost = [n for b, n in pairs if b.verdict == "pass" and n.verdict == "fail"]
    won = sum(b.verdict == "fail" and n.verdict == "pass" for b, n in pairs)
    if fell(len(lost), won) > _CHANCE:
        return None
    passed, before = (sum(pair[i].verdict == "pass" for pair in pairs) for i in (1, 0))
    return (
        f"{falls(name)}: {passed} of {len(pairs)} pass, with the base it was {before}; "
        f"{len(lost)} were lost, {won} won. The first one lost: '{lost[0].prompt[:_SHOWN]}'. "
        "Go back to an earlier checkpoint, take a lower rate, or mix in general rows."
    )


def _surprises(count: int, total: int, before: int, asked: int, taught: float) -> bool:
    """Whether `count` of `total` is more than the base and the rows let one expect."""
    expected = max((before + 1) / (asked + 2), taught)
    return count >= _FEW * total and at_least(count, total, expected) <= _CHANCE
