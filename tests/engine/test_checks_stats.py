"""Statistics against published values, and false alarms by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.checks.stats import (
    Win,
    anytime_chance,
    anytime_interval,
    bootstrap_difference,
    bradley_terry,
    detectable_drop,
    difference_test,
    drop_power,
    effective_size,
    holm,
    mcnemar,
    more_votes,
    rank,
    sign_test,
    wilson,
)


def test_wilson_intervals() -> None:
    """Known values: 0 of 30, 45 of 50, 180 of 200."""
    for passed, total, low, high in (
        (0, 30, 0.0, 0.114),
        (45, 50, 0.786, 0.957),
        (180, 200, 0.851, 0.934),
    ):
        found = wilson(passed, total)
        assert found is not None
        assert found == pytest.approx((low, high), abs=5e-4)
    assert wilson(0, 0) is None
    assert wilson(5, 5) == pytest.approx((0.5655, 1.0), abs=1e-3)


def test_mcnemar_is_exact() -> None:
    """Six flips one way are the fewest that are no chance; five are not."""
    assert mcnemar(0, 6) == pytest.approx(0.03125)
    assert mcnemar(5, 0) == pytest.approx(0.0625)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1.0
    # Agresti 2002, table 10.1 is larger; this is the binomial sum by hand.
    by_hand = 2 * sum(math.comb(16, k) for k in range(12, 17)) / 2**16
    assert mcnemar(4, 12) == sign_test(12, 4) == pytest.approx(by_hand)
    assert mcnemar(86, 150) < 1e-4  # Agresti's survey: z² = 17.4


def test_clusters_count_as_one_each_where_they_agree() -> None:
    flips = [-1] * 6 + [1] * 2 + [0] * 30
    assert difference_test(flips) == pytest.approx(mcnemar(2, 6))
    assert difference_test([-1] * 12, [i // 2 for i in range(12)]) == pytest.approx(0.03125)
    assert difference_test([-1] * 50, ["one"] * 50) == 1.0
    # Sums 3, 2, -1 by hand: |sum| >= 4 for +++, ++- and their mirrors.
    assert difference_test([1, 1, 1, 1, 1, -1], list("aaabbc")) == pytest.approx(4 / 8)
    assert difference_test([], []) == 1.0
    assert effective_size([1, 0, 1, 0]) == pytest.approx(4)
    assert effective_size([1, 1, 0, 0] * 10, [i // 2 for i in range(40)]) == pytest.approx(
        17, abs=1
    )
    assert effective_size([1] * 10, [i // 5 for i in range(10)]) == pytest.approx(2)
    assert effective_size([1, 0], weights=[3, 1]) <= 1.6
    assert effective_size([]) == 0


def test_holm_as_published() -> None:
    """Holm 1979 as in Wright 1992; and no p-value may fall below an earlier one."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_power_as_measured_in_simulations() -> None:
    """Base 90 %, 2 % of its failures flip up: simulated with 10,000 rounds beforehand."""
    for total, drop, power in (
        (30, 0.20, 0.55),
        (50, 0.10, 0.38),
        (50, 0.20, 0.94),
        (100, 0.05, 0.37),
        (100, 0.10, 0.92),
        (200, 0.05, 0.89),
        (200, 0.03, 0.51),
        (500, 0.03, 0.98),
    ):
        assert drop_power(total, drop, churn=0.002) == pytest.approx(power, abs=0.025)
    seen = detectable_drop(200, 0.9, 0.002)
    assert seen is not None
    assert 0.04 < seen < 0.05
    assert drop_power(200, seen, 0.002) >= 0.8 > drop_power(200, seen - 0.002, 0.002)
    assert detectable_drop(5, 0.9) is None
    assert detectable_drop(200, 0.0) is None
    assert detectable_drop(4_000, 0.9, 0.05) == pytest.approx(0.014, abs=0.002)


def test_votes_that_decide() -> None:
    assert anytime_chance(0, 0) == 1.0 == pytest.approx(anytime_chance(1, 0))
    assert anytime_chance(8, 0) == anytime_chance(0, 8) == pytest.approx(9 / 2**8)
    # 2^50 B(37, 15) by hand: one in 51 times the 50 over 14 ways.
    assert anytime_chance(36, 14) == pytest.approx(51 * math.comb(50, 14) / 2**50)
    assert sign_test(33, 17) <= 0.05 < anytime_chance(33, 17)
    assert anytime_interval(0, 0) is None
    assert anytime_interval(0, 1) == pytest.approx((0, 0.975))  # 1 / 40 is 20 times less likely
    for wins, losses in ((7, 0), (8, 0), (36, 14), (35, 15), (9, 60)):
        low, high = anytime_interval(wins, losses) or (0, 0)
        assert low < wins / (wins + losses) <= high
        assert (low <= 0.5 <= high) == (anytime_chance(wins, losses) > 0.05)
    assert (more_votes(8, 0), more_votes(7, 0), more_votes(0, 5)) == (0, 1, 3)
    assert more_votes(8, 0, 0.05 / 3) == 2
    assert more_votes(10, 10) is None
    assert more_votes(0, 0) is None
    assert more_votes(501, 499) is None
    more = more_votes(14, 6)
    assert more is not None
    decided = np.random.default_rng(2).binomial(more, 0.7, 4_000)
    told = [anytime_chance(14 + won, 6 + more - won) <= 0.05 for won in decided.tolist()]
    assert 0.77 <= sum(told) / 4_000 <= 0.87


def test_looking_at_every_vote_raises_no_more_false_alarms() -> None:
    """Fair coins, looked at after each of 400 throws; the sign test calls a third unfair."""
    rounds, throws = 4_000, 400
    won = np.cumsum(np.random.default_rng(11).random((rounds, throws)) < 0.5, axis=1)
    alarms = {anytime_chance: np.zeros(rounds, bool), sign_test: np.zeros(rounds, bool)}
    for thrown in range(1, throws + 1):
        for test, alarm in alarms.items():
            calls = [test(wins, thrown - wins) <= 0.05 for wins in range(thrown + 1)]
            alarm |= np.array(calls)[won[:, thrown - 1]]
    assert alarms[anytime_chance].mean() <= 0.05
    assert alarms[sign_test].mean() > 0.3


def test_bradley_terry_as_published() -> None:
    """American League 1987 (Agresti 2002, table 10.10; estimates as in R's BradleyTerry2)."""
    wins = np.array(
        [  # Milwaukee, Detroit, Toronto, New York, Boston, Cleveland, Baltimore
            [0, 7, 9, 7, 7, 9, 11],
            [6, 0, 7, 5, 11, 9, 9],
            [4, 6, 0, 7, 7, 8, 12],
            [6, 8, 6, 0, 6, 7, 10],
            [6, 2, 6, 7, 0, 7, 12],
            [4, 4, 5, 6, 6, 0, 6],
            [2, 4, 1, 3, 1, 7, 0],
        ],
        dtype=float,
    )
    logs = bradley_terry(wins, prior=0)
    expected = [1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0]
    assert logs - logs[-1] == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ValueError, match="connect"):
        bradley_terry(np.array([[0.0, 3.0], [0.0, 0.0]]), prior=0)


def test_ranks_have_intervals_and_survive_a_clean_sweep() -> None:
    votes = [Win("b", "a", group=i) for i in range(12)] + [Win("b", "c", tie=True, group=3)]
    ranked = rank(votes, rounds=200)
    assert [strength.name for strength in ranked] == ["b", "c", "a"]
    assert all(s.low <= s.log <= s.high and math.isfinite(s.high) for s in ranked)
    assert ranked == rank(votes, rounds=200)
    assert rank([]) == []


def test_strengths_hold_what_they_promise_after_few_votes() -> None:
    """One of three never loses to the weakest: draws from the votes alone would be sure of it."""
    random = np.random.default_rng(5)
    logs = {"a": -1.5, "b": 0.0, "c": 1.5}
    within = rounds = 0
    for _ in range(60):
        votes = []
        for group in range(15):
            one, two = ("ab", "ac", "bc")[group % 3]
            first = random.random() < 1 / (1 + math.exp(logs[two] - logs[one]))
            votes.append(Win(one, two, group=group) if first else Win(two, one, group=group))
        for strength in rank(votes, rounds=100):
            rounds += 1
            within += strength.low <= logs[strength.name] <= strength.high
    assert within / rounds >= 0.92  # 78 % by draws from the votes alone


def _pairs(random: np.random.Generator, clusters: int, size: int) -> list[int]:
    """Differences of two equally good models, whole clusters flipping together."""
    flips = random.random(clusters) < 0.3
    ways = random.choice([-1, 1], clusters)
    together = random.random((clusters, size)) < 0.8
    found: list[int] = (flips[:, None] * ways[:, None] * together).ravel().tolist()
    return found


def test_false_alarms_are_at_most_five_in_a_hundred() -> None:
    random = np.random.default_rng(7)
    rounds = 1_000
    limit = 0.05 + 2 * math.sqrt(0.05 * 0.95 / rounds)
    alone = clustered = naive = family = 0
    keys = [i // 8 for i in range(25 * 8)]
    for _ in range(rounds):
        up, down = random.binomial(200, [0.06, 0.06]).tolist()
        alone += mcnemar(up, down) <= 0.05
        differences = _pairs(random, 25, 8)
        clustered += difference_test(differences, keys) <= 0.05
        naive += difference_test(differences) <= 0.05
        series = [mcnemar(*random.binomial(100, [0.1, 0.1]).tolist()) for _ in range(8)]
        family += min(holm(series)) <= 0.05
    assert alone / rounds <= limit
    assert clustered / rounds <= limit
    assert family / rounds <= limit
    assert naive / rounds > 0.2, "clusters matter: the plain test is fooled by them"


def test_intervals_hold_what_they_promise() -> None:
    """95 % intervals cover the truth about as often, also with clusters."""
    random = np.random.default_rng(3)
    rounds = 300
    rate_in = mean_in = 0
    keys = [i // 5 for i in range(200)]
    for _ in range(rounds):
        chances = random.beta(4, 1, 40)
        passed = (random.random((40, 5)) < chances[:, None]).ravel().astype(int).tolist()
        size = effective_size(passed, keys)
        low, high = wilson(size * sum(passed) / 200, size) or (0, 0)
        rate_in += low <= 0.8 <= high
        ends = bootstrap_difference([p - 0.8 for p in passed], keys, rounds=500, seed=1)
        assert ends is not None
        mean_in += ends[0] <= 0 <= ends[1]
    assert 0.92 <= rate_in / rounds <= 0.985
    assert 0.90 <= mean_in / rounds <= 0.985
    assert bootstrap_difference([]) is None
    assert bootstrap_difference([0] * 100) == pytest.approx((-0.0362, 0.0362), abs=1e-4)
