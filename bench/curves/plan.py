"""Which runs are made: data, rate, fault, seed. Knows the plan. Does not know how it is trained.

Every run is the starter, dense, LoRA rank 8 on every linear layer, batches of 4 rows, an
evaluation every 10 steps. Seeds 1 to 12 are for choosing thresholds, those from 21 on for the
published matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

DATASETS = ("habit", "shell", "domain", "teacher")
FACTORS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Of `RATE`, the rate that suits the starter."""

RATE = 1e-3
BATCH = 4
EVERY = 10
TUNING_SEEDS = tuple(range(1, 13))


@dataclass(frozen=True, slots=True)
class Planned:
    """One run to be made.

    Attributes:
        fault: what is planted; `sweep` is a plain run at a constant rate, `plain` one that decays.
        factor: of `RATE`.
        rows: training rows; 0 takes all.
        steps: optimizer steps.
        at: the step at which a fault is planted, where it has one.
    """

    dataset: str
    fault: str
    factor: float
    seed: int
    steps: int = 100
    rows: int = 0
    dropout: float = 0.0
    at: int = 0

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.fault}/{self.factor:g}/{self.rows}/{self.dropout}/{self.seed}"


def runs() -> list[Planned]:
    """All of them: those to tune by, then those that are published."""
    return [*_to_tune_by(), *_published()]


def _to_tune_by() -> list[Planned]:
    """Seeds 1 to 12."""
    found: list[Planned] = []
    for seed in (1, 2):
        for data in DATASETS:
            found += [Planned(data, "plain", 1.0, seed, steps=100)]
            found += [Planned(data, "overfit", 3.0, seed, steps=100, rows=16)]
            found += [Planned(data, "leak", 3.0, seed, steps=100, rows=32)]
            found += [Planned(data, "spike", 1.0, seed, steps=60, at=20 + 7 * seed)]
            found += [Planned(data, "random", 1.0, seed, steps=70)]
            found += [Planned(data, "sweep", factor, seed) for factor in FACTORS]
    for data in DATASETS:
        found += [Planned(data, "frozen", 1.0, 2, steps=30), Planned(data, "frozen", 1.0, 1, 30)]
        found += [Planned(data, "nan", 1.0, 2, steps=40, at=25)]
        found += [Planned(data, "masked", 1.0, 2, steps=12)]
        found += [Planned(data, "tiny", 0.005, seed, steps=5, rows=8) for seed in (1, 2)]
        found += [Planned(data, "tiny", 0.005, 3, steps=40, rows=8)]
    for seed in (3, 4):
        for data in DATASETS:
            found += [Planned(data, "plain", 1.0, seed, steps=100, dropout=0.1)]
            found += [Planned(data, "plain", 2.0, seed, steps=100)]
            found += [Planned(data, "spike", 1.0, seed, steps=60, at=15 + 7 * seed)]
    for data in DATASETS:
        found += [Planned(data, "overfit", 1.0, 3, steps=120, rows=24)]
        found += [Planned(data, "leak", 2.0, 3, steps=100, rows=40)]
        found += [Planned(data, "plain", 1.0, 5, steps=60), Planned(data, "plain", 0.5, 6, 100)]
    for seed in range(7, 13):
        for data in DATASETS:
            found += [Planned(data, "plain", 1.0 + (seed % 2), seed, steps=70)]
    # Many passes over few rows and yet no leak: what a rule that cries leak must not cry at.
    found += [
        Planned(data, "plain", 1.0, s, steps=160, rows=120) for s in (1, 2) for data in DATASETS
    ]
    return found


def _published() -> list[Planned]:
    """Seeds from 21 on."""
    found: list[Planned] = []
    for data in DATASETS:
        found += [
            Planned(data, "overfit", 3.0, 21, rows=16),
            Planned(data, "leak", 3.0, 21, rows=32),
            Planned(data, "leak", 2.0, 21, rows=40),
            Planned(data, "spike", 1.0, 21, steps=60, at=18),
            Planned(data, "spike", 1.0, 22, steps=60, at=41),
            Planned(data, "random", 1.0, 21, steps=60),
            # Many passes over few rows and yet no leak.
            Planned(data, "plain", 1.0, 21, steps=120, rows=80),
            Planned(data, "tiny", 0.005, 21, steps=5, rows=8),
            Planned(data, "tiny", 0.005, 22, steps=40, rows=8),
            Planned(data, "frozen", 1.0, 21, steps=30),
            Planned(data, "nan", 1.0, 22, steps=40, at=25),
            Planned(data, "masked", 1.0, 22, steps=12),
        ]
    for seed in (23, 24, 25):
        dropout = 0.1 if seed % 4 == 0 else 0.0
        for data in DATASETS:
            found += [Planned(data, "plain", 1.0 + seed % 2, seed, steps=70, dropout=dropout)]
    for data in ("teacher", "shell", "habit"):
        found += [Planned(data, "sweep", factor, 21) for factor in FACTORS[1:]]
    return found
