"""How sure one may be of rates, differences and votes.

Knows arithmetic alone. `rates` are about one model, `paired` about two on the same prompts, `power`
about what could have been seen, `anytime` about votes looked at as they come, `strengths` about
many that were compared two at a time, `agreement` about two who judge.
"""

from engine.checks.stats.agreement import Agreement, agreement
from engine.checks.stats.anytime import anytime_chance, anytime_interval, more_votes
from engine.checks.stats.paired import (
    bootstrap_difference,
    difference_test,
    holm,
    mcnemar,
    sign_test,
)
from engine.checks.stats.power import (
    detectable_drop,
    drop_power,
)
from engine.checks.stats.rates import Z95, at_least, effective_size, fell, wilson
from engine.checks.stats.strengths import Strength, Win, bradley_terry, rank

__all__ = [
    "Z95",
    "Agreement",
    "Strength",
    "Win",
    "agreement",
    "anytime_chance",
    "anytime_interval",
    "at_least",
    "bootstrap_difference",
    "bradley_terry",
    "detectable_drop",
    "difference_test",
    "drop_power",
    "effective_size",
    "fell",
    "holm",
    "mcnemar",
    "more_votes",
    "rank",
    "sign_test",
    "wilson",
]
