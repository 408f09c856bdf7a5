"""How many packed sequences a dataset makes, without packing it.

Method: best fit decreasing as in TRL's `_pack_bfd` (packing_strategy="bfd"), on counts of lengths
instead of rows, so that a million rows cost as much as a thousand. Knows lengths only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def bins(counts: npt.NDArray[np.int64], length: int) -> int:
    """How many sequences of `length` tokens hold all rows.

    Args:
        counts: of shape (length + 1,): how many rows have so many tokens, after cutting.
    """
    free = np.zeros(length + 1, dtype=np.int64)
    made = 0
    for size in np.flatnonzero(counts[: length + 1])[::-1].tolist():
        left = int(counts[size]) if size else 0
        while left:
            fitting = free[size:length] > 0
            found = int(fitting.argmax()) if len(fitting) else 0
            space = size + found if len(fitting) and fitting[found] else length
            available = int(free[space]) if space < length else left
            # A bin that was the tightest stays so until nothing of this size fits into it.
            each = space // size
            full = min(left // each, available)
            taken, left = full, left - full * each
            free[space - each * size] += full
            if left and left < each and taken < available:
                free[space - left * size] += 1
                taken, left = taken + 1, 0
            if space < length:
                free[space] -= taken
            else:
                made += taken
    return made
