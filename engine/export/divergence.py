"""(heavy) How far two models' next-token distributions are apart.

Knows arrays of logits. Does not know which model or file they come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_ROWS = 64
Floats = NDArray[np.float64]


def log_softmax(logits: NDArray[np.float32]) -> Floats:
    """Log-probabilities in double precision; shape [n, vocabulary] in and out."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return wide


@dataclass
class Divergence:
    """Gathers KL(reference ‖ other), top-1 agreement and both losses, sequence by sequence."""

    _kl: list[Floats] = field(default_factory=list)
    _same: list[NDArray[np.bool_]] = field(default_factory=list)
    _losses: list[tuple[float, float]] = field(default_factory=list)

    def add(
        self,
        reference: NDArray[np.float32],
        other: NDArray[np.float32],
        ids: Sequence[int],
        mask: Sequence[int],
    ) -> None:
        """Compare one sequence.

        Args:
            reference, other: logits [n, vocabulary]; a padded vocabulary is cut to the smaller.
            ids, mask: the n ids that were read, and 1 where the loss counts.
        """
        width = min(reference.shape[1], other.shape[1])
        for start in range(0, len(ids), _ROWS):
            stop = min(start + _ROWS, len(ids))
            p = log_softmax(reference[start:stop, :width])
            q = log_softmax(other[start:stop, :width])
            self._kl.append((np.exp(p) * (p - q)).sum(axis=-1))
            self._same.append(p.argmax(axis=-1) == q.argmax(axis=-1))
            for row in range(stop - start):
                following = start + row + 1
                if following < len(ids) and mask[following]:
                    target = ids[following]
                    self._losses.append((-float(p[row, target]), -float(q[row, target])))

    def numbers(self) -> dict[str, float]:
        """Summary: KL in nats, `top1` from 0 to 1, mean losses in nats a trained token."""
        kl = np.concatenate(self._kl) if self._kl else np.array([np.nan])
        kl = np.maximum(kl, 0.0)
        same = np.concatenate(self._same) if self._same else np.array([False])
        found = {
            "kl_mean": float(kl.mean()),
            "kl_median": float(np.median(kl)),
            "kl_p99": float(np.quantile(kl, 0.99)),
            "kl_max": float(kl.max()),
            "top1": float(same.mean()),
            "positions": float(len(same)),
        }
        if self._losses:
            trained, exported = np.array(self._losses).mean(axis=0)
            found |= {"loss_trained": float(trained), "loss_export": float(exported)}
        return found
