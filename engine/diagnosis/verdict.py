"""What a rule says: plain words, its evidence, and the knob to turn.

Knows how verdicts are ordered and written as JSON. Does not know any rule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["good", "info", "warn", "bad"]
Evidence = Mapping[str, Any]
"""Names and JSON values: losses in nats a token, intervals of 95 %, steps, line numbers."""

_ORDER = {"bad": 0, "warn": 1, "info": 2, "good": 3}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence about a run.

    Attributes:
        rule: its name, one of `engine.diagnosis.RULES`.
        severity: bad stops the run from being of use, warn costs quality, info is worth knowing.
        text: what is so, with its numbers.
        evidence: the numbers themselves; losses in nats a token, intervals of 95 %.
        advice: what to do.
        knob: the recipe key to turn; empty where it is not one.
        known: False where nothing can be concluded, and the text says why.
        step: where in the run; None for the whole of it.
    """

    rule: str
    severity: Severity
    text: str
    evidence: Evidence = field(default_factory=dict)
    advice: str = ""
    knob: str = ""
    known: bool = True
    step: int | None = None

    @property
    def alarm(self) -> bool:
        """Whether something is said to be wrong."""
        return self.known and self.severity in ("warn", "bad")

    @property
    def mark(self) -> str:
        """One character for a list: ✗ bad, ! warn, ? cannot tell, · info, ✓ good."""
        if not self.known:
            return "?"
        return {"bad": "✗", "warn": "!", "info": "·", "good": "✓"}[self.severity]

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "text": self.text,
            "evidence": {name: _plain(value) for name, value in self.evidence.items()},
            "advice": self.advice,
            "knob": self.knob,
            "known": self.known,
            "step": self.step,
        }


def _plain(value: object) -> object:
    """A number that JSON has no name for becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def unknown(rule: str, why: str, advice: str = "", knob: str = "") -> Verdict:
    """Nothing can be concluded, and why not."""
    return Verdict(rule, "info", f"cannot tell: {why}", {}, advice, knob, known=False)


def ordered(verdicts: list[Verdict]) -> list[Verdict]:
    """The worst first; what cannot be told last but for what is good."""
    return sorted(verdicts, key=lambda v: (_ORDER[v.severity], not v.known))
