"""The state of every random generator that training draws from (heavy).

Knows how to note and restore it. Does not know who draws.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class RandomState:
    """Python's, NumPy's, torch's, and that of the GPU where there is one."""

    python: Any
    numpy: Any
    cpu: torch.Tensor
    cuda: torch.Tensor | None

    @classmethod
    def now(cls) -> RandomState:
        """As it is."""
        on_gpu = torch.cuda.is_available()
        return cls(
            random.getstate(),
            np.random.get_state(),
            torch.random.get_rng_state(),
            torch.cuda.random.get_rng_state() if on_gpu else None,
        )

    def restore(self) -> None:
        """As it was."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.random.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.random.set_rng_state(self.cuda)
