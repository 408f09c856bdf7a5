"""The split: a row keeps its part, a group never straddles, and what came out is said."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from engine.data.rows import Row, parse_row
from engine.data.split.assign import (
    Assignment,
    Placer,
    assign,
    fingerprint,
    finished,
    groups,
    keys_of,
    rule_of,
)
from store.errors import BadInput
from store.splits import Rule, Split


class Held:
    """Rows in memory, read as a dataset is."""

    def __init__(self, rows: list[bytes]) -> None:
        self.lines = rows

    @property
    def count(self) -> int:
        return len(self.lines)

    def grow(self, seconds: float | None = None) -> bool:
        return True

    def row(self, n: int) -> Row:
        return parse_row(n, self.lines[n - 1])

    def iter_raw(self, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        return iter(list(enumerate(self.lines, start=1))[start - 1 : stop and stop - 1])


def chat(question: str, answer: str = "yes", **more: object) -> bytes:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns, **more}).encode()


def done(rows: list[bytes], rule: Rule, ties: bytes = b"") -> Assignment:
    return finished(assign(Held(rows), rule, ties))


def by_row(rows: list[bytes], rule: Rule, ties: bytes = b"") -> dict[bytes, str | None]:
    found = done(rows, rule, ties)
    return {row: found.part_of(n) for n, row in enumerate(rows, start=1)}


@pytest.mark.parametrize("group_by", [(), ("conversation",), ("source",), ("source", "meta.id")])
def test_every_remaining_row_keeps_its_part(group_by: tuple[str, ...]) -> None:
    chance = random.Random(1)
    rule = rule_of(0.6, 0.2, 0.2, seed=7, group_by=group_by)
    rows = [
        chat(f"q{n % 90}", f"a{n}", source=f"s{n % 40}", meta={"id": n % 40 + n % 2 * 40})
        for n in range(300)
    ]
    before = by_row(rows, rule)
    assert set(before.values()) == {"train", "eval", "test"}
    for _ in range(4):
        kept = chance.sample(rows, 150)
        more = [chat(f"new{n}", source=f"t{chance.random()}") for n in range(20)]
        some = kept + more
        chance.shuffle(some)
        after = by_row(some, rule)
        assert {row: after[row] for row in kept} == {row: before[row] for row in kept}


def test_shares_seeds_and_counts() -> None:
    rows = [chat(f"q{n}") for n in range(2000)]
    rule = rule_of(0.8, 0.1, 0.1, seed=3)
    found = done([*rows, b"{broken"], rule)
    assert found.counts["rows"] == 2001
    assert found.counts["none"] == 1
    assert found.part_of(2001) is None
    assert sum(found.counts[part] for part in ("train", "eval", "test")) == 2000
    assert abs(found.counts["eval"] - 200) < 60
    assert abs(found.counts["test"] - 200) < 60
    assert found.warnings == ("rows that cannot be read and are in no part: 1",)
    assert by_row(rows, rule_of(0.8, 0.1, 0.1, seed=4)) != by_row(rows, rule)
    # A test part is cut from the training rows alone: what was held out stays held out.
    evaluated = {row for row, part in by_row(rows, rule_of(0.9, 0.1, seed=3)).items()
                 if part == "eval"}  # fmt: skip
    assert evaluated == {row for row, part in by_row(rows, rule).items() if part == "eval"}
    for only in ("train", "eval", "test"):
        shares = {"train": 0.0, "eval": 0.0, "test": 0.0, only: 1.0}
        assert set(by_row(rows[:50], rule_of(**shares)).values()) == {only}
    assert set(by_row(rows[:200], rule_of(0, 0.5, 0.5)).values()) == {"eval", "test"}


def test_groups_never_straddle_whatever_ties_them() -> None:
    """Against a plain union of sets, on random data."""
    for seed in range(30):
        chance = random.Random(seed)
        rows = []
        for _ in range(chance.randrange(2, 60)):
            more: dict[str, object] = {}
            if chance.random() < 0.8:
                more["source"] = f"s{chance.randrange(12)}"
            if chance.random() < 0.5:
                more["id"] = chance.randrange(20)
            rows.append(chat(f"q{chance.randrange(40)}", **more))
        rule = rule_of(0.4, 0.3, 0.3, seed=seed, group_by=("source", "id"))
        found = done(rows, rule)
        parts_of_group = defaultdict(set)
        expected = _components([keys_of(parse_row(1, row), rule) for row in rows])
        for n, group in enumerate(expected, start=1):
            parts_of_group[group].add(found.part_of(n))
        assert all(len(parts) == 1 for parts in parts_of_group.values())
        assert found.groups == len(parts_of_group)
        split = Split(1, 1, rule, found.counts, (), found.ties, "")
        placer = Placer(split)
        for n, row in enumerate(rows, start=1):
            assert placer.part_of(parse_row(n, row)) == found.part_of(n)


def _components(keys: list[tuple[int, ...]]) -> list[int]:
    """The group of each row, slowly and surely."""
    group = list(range(len(keys)))
    for _ in keys:
        for column in range(len(keys[0])):
            first: dict[int, int] = {}
            for n, row in enumerate(keys):
                if row[column]:
                    first[row[column]] = min(group[n], first.get(row[column], group[n]))
            group = [min(group[n], first.get(row[column], group[n])) for n, row in enumerate(keys)]
    return group


def test_a_tie_that_is_taken_away_moves_nothing() -> None:
    moved = 0
    for seed in range(40):
        rule = rule_of(0.5, 0.25, 0.25, seed=seed, group_by=("source",))
        rows = [chat(f"q{n}", source="a" if n < 5 else "b") for n in range(10)]
        bridge = [chat("the same", source="a"), chat("the same", source="b")]
        alone = by_row(rows, rule)
        tied = done(rows + bridge, rule)
        assert len(set(tied.parts)) == 1
        assert tied.ties
        assert "groups joined from several that hold the same row: 1" in tied.warnings
        again = by_row(rows, rule, tied.ties)
        assert set(again.values()) == {tied.part_of(1)}
        moved += alone != again
    assert moved


def test_ties_lead_on_to_later_ties() -> None:
    def column(*keys: int) -> np.ndarray:
        return np.array(keys, np.uint64)

    first = groups.join([column(11, 12, 13), column(1, 1, 3)])
    assert first.marks[0] == first.marks[1] != first.marks[2]
    second = groups.join([column(11, 12, 13), column(1, 2, 1)], first.ties)
    assert len(set(second.marks.tolist())) == 1
    third = groups.join([column(11, 12, 13, 14), column(5, 6, 7, 8)], second.ties)
    assert len(set(third.marks.tolist())) == 2
    assert third.marks[0] == second.marks[0]


def test_what_a_person_should_know_is_said() -> None:
    rows = [chat(f"q{n}", source="big") for n in range(60)] + [chat(f"r{n}") for n in range(40)]
    found = done(rows, rule_of(0.8, 0.1, 0.1, group_by=("source",)))
    said = " · ".join(found.warnings)
    assert "40 of 100 rows have no `source`" in said
    assert "the group of line 1 has 60 rows, more than the 10 of eval" in said
    said = " · ".join(done([chat("a")] * 5, rule_of(0.5, 0.5)).warnings)
    assert "no row fell into this part; expected about 2" in said


def test_what_is_the_same_and_what_is_not() -> None:
    def mark(value: object) -> int:
        row = parse_row(1, json.dumps(value).encode())
        assert row.error is None, row.error
        return fingerprint(row)

    user, bot = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
    plain = mark({"messages": [user, bot]})
    assert plain == mark({"conversations": [
        {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]})  # fmt: skip
    assert plain == mark({"prompt": "q", "completion": "a"})
    assert plain != mark({"messages": [user, {**bot, "content": "b"}]})
    assert mark({"text": "q"}) != mark({"text": "r"})


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((None, None, None), (0.8, 0.1, 0.1)),
        ((None, 0.1, None), (0.9, 0.1, 0.0)),
        ((0.7, None, None), (0.7, 0.3, 0.0)),
        ((0.7, None, 0.1), (0.7, 0.2, 0.1)),
        ((0.7, 0.1, None), (0.7, 0.1, 0.2)),
        ((0.8, 0.1, 0.1), (0.8, 0.1, 0.1)),
    ],
)
def test_shares_that_are_left_out(
    shares: tuple[float | None, ...], expected: tuple[float, ...]
) -> None:
    rule = rule_of(*shares)
    assert (rule.train, rule.eval, rule.test) == expected


def test_shares_that_are_none() -> None:
    for shares in ((0.8, 0.1, 0.2), (None, 0.6, 0.6), (1.5, None, None), (0.5, 0.2, 0.2)):
        with pytest.raises(BadInput):
            rule_of(*shares)
    with pytest.raises(BadInput, match="each field once"):
        rule_of(group_by=("a", "a"))
