"""How far an export may stray from what it was made of, where each limit comes from, what to do.

Knows thresholds and words. The limits of the types themselves are in `types`, with their sources.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from engine.export.stages import Merge, State
from engine.export.types import ExportType, Limits

SIXTEEN = 16
"""Bits a weight from which a file is held to be a conversion, and below which a quantisation."""
TIE_NATS = 0.02
"""Two choices this close are a tie: rounding weights to 16 bits moves logits about as much."""
_ORIGINAL = Limits(0.01, 0.2, 0.96, 0.8)
"""What the base's own weights may add at the end, on top of the type; that nothing is broken is
seen by `convert`. Measured 6e-4 to 1.1e-3 and 97 % for two adapters on a toy Llama of 3.4 M
parameters, and 0.024 and 93 % on the starter, which 4 bits deform the most."""

WAY_OUT = {
    "load": "Export it again, or ask for another copy of the file.",
    "tokens": "Convert it again from the folder that the model was trained with, with its "
    "tokenizer.json.",
    "template": "Give the file the chat template of the base (tokenizer.chat_template), or convert "
    "it again.",
    "stops": "Give the file the ids of the trained tokens (tokenizer.ggml.bos_token_id, "
    "eos_token_id, eot_token_id), or convert it again.",
    "convert": "Its weights are not those that were merged: export it again.",
    "quant": "Take a larger type.",
    "end": "Export it again from this model.",
}
"""What a stage that failed says in the end."""


def end(type: ExportType, merge: Merge) -> Limits:
    """The limits against the model as chatted."""
    own = type.limits
    if merge == "faithful":
        return own
    return Limits(
        own.kl_warn + _ORIGINAL.kl_warn,
        own.kl_fail + _ORIGINAL.kl_fail,
        own.top1_warn + _ORIGINAL.top1_warn - 1,
        own.top1_fail + _ORIGINAL.top1_fail - 1,
    )


def judge(numbers: Mapping[str, float], limits: Limits) -> State:
    """The verdict on measured divergences; anything that is not a number fails."""
    kl, top1 = numbers["kl_mean"], numbers["top1"]
    if not math.isfinite(kl) or kl > limits.kl_fail or top1 < limits.top1_fail:
        return "fail"
    return "warn" if kl > limits.kl_warn or top1 < limits.top1_warn else "pass"
