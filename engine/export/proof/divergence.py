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
    _losses: list[Floats] = field(default_factory=list)

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
        following = np.array([*ids[1:], 0])
        counts = (np.array([*mask[1:], 0]) != 0) & (following < width)
        for start in range(0, len(ids), _ROWS):
            rows = slice(start, min(start + _ROWS, len(ids)))
            p = log_softmax(reference[rows, :width])
            q = log_softmax(other[rows, :width])
            self._kl.append((np.exp(p) * (p - q)).sum(axis=-1))
            self._same.append(p.argmax(axis=-1) == q.argmax(axis=-1))
            wanted = np.nonzero(counts[rows])[0]
            at = (wanted, following[rows][wanted])
            self._losses.append(-np.stack([p[at], q[at]], axis=-1))

    @property
    def losses(self) -> Floats:
        """Nats of each trained token with the reference and the other: [tokens, 2]."""
        return np.concatenate(self._losses) if self._losses else np.empty((0, 2))

    def numbers(self) -> dict[str, float]:
        """Summary: KL in nats, `top1` from 0 to 1, mean losses in nats a trained token.

        `loss_error` is the standard error of the difference of the losses.
        """
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
        losses = self.losses
        if len(losses):
            trained, exported = losses.mean(axis=0)
            found |= {"loss_trained": float(trained), "loss_export": float(exported)}
            found["trained_tokens"] = float(len(losses))
            found["loss_error"] = float((losses[:, 1] - losses[:, 0]).std() / len(losses) ** 0.5)
        return found
