"""What the run itself found wrong with its answers to probes and check suites.

Knows the words that it wrote down. Does not judge answers: `engine.train.doubts` did.
"""

from __future__ import annotations

from engine.diagnosis.facts import Facts
from engine.diagnosis.verdict import Verdict


def doubts(facts: Facts) -> list[Verdict]:
    """Each doubt that has not passed; its last sentence is the advice."""
    found = []
    for step, words in facts.doubts:
        said, _, advice = words.rpartition(". ")
        text = f"{said} (since step {step:,})"
        found.append(Verdict("answers", "warn", text, {"step": step}, advice, step=step))
    return found
