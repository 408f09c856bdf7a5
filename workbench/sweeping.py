"""Python's garbage collector, kept out of the way of keys.

To look through all that an application is made of takes 70 ms, and painting a stream of words
leaves enough behind for it to happen every other second. Here it happens when nobody types.
"""

from __future__ import annotations

import gc
import time

QUIET = 1.0
"""Seconds without a key after which nobody waits."""
LATEST = 30.0
"""Seconds after which it happens whoever waits: what is left behind takes memory."""
_NEVER = 1 << 30


class Sweeper:
    """When the whole of the memory is looked through; young objects go as they always do."""

    def __init__(self) -> None:
        self._touched = self._swept = time.monotonic()

    def leave_out(self) -> None:
        """What there is now stays, and is not looked at again."""
        gc.freeze()
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, _NEVER)
        gc.enable()

    def touch(self) -> None:
        """A key or the mouse was used."""
        self._touched = time.monotonic()

    def sweep(self) -> None:
        """Look through what came since, if this is a moment for it."""
        now = time.monotonic()
        if gc.isenabled() and (now - self._touched > QUIET or now - self._swept > LATEST):
            gc.collect()
            self._swept = now
