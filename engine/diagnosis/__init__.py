"""The diagnosis: what the curves of a run mean, in plain words, with evidence and the knob to turn.

Pure functions of curves and facts, numpy only; `bench.diagnosis` publishes how often each rule is
right. Knows rules and their evidence. Does not know where a run is kept (see `reading`), and never
concludes from what it does not have: it says what is missing.

    verdicts = diagnose(Curves.from_reader(run_db), facts.of(recipe, rows=380))
"""

from __future__ import annotations

from engine.diagnosis.curves import Curves
from engine.diagnosis.facts import Facts
from engine.diagnosis.judge import RULES, before, diagnose
from engine.diagnosis.preset import Preset
from engine.diagnosis.verdict import Verdict

__all__ = ["RULES", "Curves", "Facts", "Preset", "Verdict", "before", "diagnose"]
