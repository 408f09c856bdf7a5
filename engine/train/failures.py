"""Why a run failed, in plain words with a way out.

Knows the messages of the libraries. Does not import them.
"""

from __future__ import annotations

import errno

from engine.train.fit.room import is_out_of_memory
from store.errors import WorkbenchError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Diverged(WorkbenchError):
    """The loss is no longer a number: the weights are lost, the last checkpoint is not."""


def is_disk_full(error: OSError) -> bool:
    """Whether there is no room: disk, quota or file size limit."""
    return error.errno in _FULL


def explain(error: BaseException) -> str:
    """One or two sentences for the run's `reason`."""
    if isinstance(error, WorkbenchError):
        return f"{error.message}. {error.hint}"
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return (
            "Out of memory. Halve per_device_train_batch_size, double gradient_accumulation_steps, "
            "or set gradient_checkpointing=true."
        )
    if isinstance(error, OSError) and is_disk_full(error):
        return "The disk is full. Make room, then resume the run."
    return f"Unexpected {type(error).__name__}: {text[:300]}. The log has the whole story."
