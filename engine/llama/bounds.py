"""Bounds for what a foreign file makes us compute: seconds, and bytes of memory.

Knows the limits of a process. Does not know templates or models.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from engine.chat.server import TEMPLATE_SECONDS, deadline

ROOM = 512 * 1024 * 1024
"""Bytes that one rendering may take beyond what the process has; real ones take thousands."""
_GRACE = 5.0


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Let the body fail with MemoryError where it wants too much, and end the process in time.

    A sandbox stops neither `'x' * 10**12` nor a power that keeps the interpreter to itself: for the
    latter there is a clock outside of it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = psutil.Process().memory_info().vms
    faulthandler.dump_traceback_later(TEMPLATE_SECONDS + _GRACE, exit=True, file=sys.stderr)
    try:
        with deadline(TEMPLATE_SECONDS, what):
            resource.setrlimit(resource.RLIMIT_AS, (_lower(taken + ROOM, soft), hard))
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        faulthandler.cancel_dump_traceback_later()


def _lower(wanted: int, soft: int) -> int:
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft)
