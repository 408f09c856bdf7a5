"""How often the diagnosis is right: a confusion matrix over labelled curves, and false alarms.

Real runs of the starter under planted faults, recorded once by `bench.curves.make` and replayed
here, and synthetic curves. Thresholds were chosen on the tuning part alone (`--tuning`: the runs
of seeds 1 to 12, synthetic seed 1); what is printed otherwise comes from seeds 21 and up and from
synthetic seed 3. The four datasets and the base are the same in both. Asserts nothing.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.curves.cases import SCORED, Case, recorded
from bench.curves.synthetic import cases as synthetic
from engine.diagnosis import Curves, Verdict, diagnose
from engine.diagnosis import facts as known
from engine.diagnosis.robust import wilson

TUNING, PUBLISHED = 1, 3
EACH = 12


@dataclass(slots=True)
class Count:
    """How often a rule spoke: of the curves it was true of, and of those it was not."""

    hit: int = 0
    of_true: int = 0
    wrong: int = 0
    of_false: int = 0
    alarm: int = 0
    of_healthy: int = 0


def main() -> None:
    """Print the matrix of real runs, of synthetic curves, and of both, then the time it takes."""
    tuning = "--tuning" in sys.argv
    seed = TUNING if tuning else PUBLISHED
    real = [case for case in recorded() if case.tuning == tuning]
    made = synthetic(seed, EACH, tuning=tuning)
    part = "tuning part (thresholds were chosen on it)" if tuning else "held-out part"
    print(f"diagnosis, {part}: {len(real)} real curves of the starter, {len(made)} synthetic")
    print("recall: share of the curves with the fault on which the rule speaks;")
    print("false alarms: on healthy curves, and on all curves without that fault; Wilson 95 %\n")
    for name, cases in (("real", real), ("synthetic", made), ("together", [*real, *made])):
        _print(name, cases, "-v" in sys.argv)
    for points in (100, 10_000):
        thinning, judging = _milliseconds(points)
        words = f"  7 metrics of {points:,} points"
        print(f"{words:<36}thinned in {thinning:6.2f} ms, judged in {judging:5.2f} ms of CPU")


def said(case: Case) -> list[Verdict]:
    """What the diagnosis says of a case."""
    facts = known.of(case.facts["recipe"], **{k: v for k, v in case.facts.items() if k != "recipe"})
    return diagnose(Curves.from_points(case.curves), facts)


def speaks(rule: str, verdicts: Sequence[Verdict], case: Case) -> bool:
    """Whether a rule said that it is so; of a spike, at the right step."""
    found = [v for v in verdicts if v.rule == rule and v.known]
    if rule == "rate-too-high":  # A loss that diverges is the same knob, said louder.
        found += [v for v in verdicts if v.rule == "diverging"]
    if rule == "few-rows":
        found = [v for v in found if v.alarm]
    if rule == "spike" and case.at is not None:
        return any(v.step == case.at for v in found)
    return bool(found)


def count(cases: Sequence[Case], told: list[str] | None = None) -> dict[str, Count]:
    """The counts of every scored rule; `told` takes a line for each mistake."""
    counts = {rule: Count() for rule in SCORED}
    for case in cases:
        verdicts = said(case)
        for rule, c in counts.items():
            truth, spoke = case.truth[rule], speaks(rule, verdicts, case)
            if truth is True:
                c.of_true += 1
                c.hit += spoke
            elif truth is False:
                c.of_false += 1
                c.wrong += spoke
            if case.healthy and truth is False:
                c.of_healthy += 1
                c.alarm += spoke
            if told is not None and truth is not None and truth != spoke:
                told.append(f"    {'missed' if truth else 'false '} {rule:<15} {case.name}")
    return counts


def _print(name: str, cases: Sequence[Case], loud: bool) -> None:
    told: list[str] | None = [] if loud and name != "together" else None
    print(f"  {name:<15}{'recall':>28}{'healthy, false alarms':>28}{'others, false alarms':>28}")
    for rule, c in count(cases, told).items():
        columns = ((c.hit, c.of_true), (c.alarm, c.of_healthy), (c.wrong, c.of_false))
        print(f"  {rule:<15}" + "".join(f"{_share(*column):>28}" for column in columns))
    print("\n".join(sorted(told or [])))


def _share(hits: int, of: int) -> str:
    """`11/12  92 % (65–99)`."""
    if not of:
        return "–"
    low, high = wilson(hits, of)
    return f"{hits}/{of} {hits / of * 100:3.0f} % ({low * 100:.0f}–{high * 100:.0f})"


def _milliseconds(points: int) -> tuple[float, float]:
    """The median CPU times of thinning seven metrics of so many points, and of judging them."""
    random = np.random.default_rng(0)
    steps = np.arange(1, points + 1)
    values = 3 * np.exp(-5 * steps / points) + 0.5 + 0.1 * random.normal(size=points)
    names = ("loss", "grad_norm", "learning_rate", "entropy", "token_accuracy", "epoch")
    curves = {name: list(zip(steps.tolist(), values.tolist(), strict=True)) for name in names}
    curves["eval_loss"] = curves["loss"][:: max(points // 20, 1)]
    facts = known.of({"learning_rate": 2e-4, "r": 16}, rows=1000, held_out=100, total_steps=points)
    thinning, judging = [], []
    for _ in range(9):
        began = time.process_time()
        thinned = Curves.from_points(curves)
        between = time.process_time()
        diagnose(thinned, facts)
        thinning.append((between - began) * 1e3)
        judging.append((time.process_time() - between) * 1e3)
    return statistics.median(thinning), statistics.median(judging)


if __name__ == "__main__":
    main()
