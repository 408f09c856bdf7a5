"""Regular expressions with a time limit: a hostile pattern costs a second, not the session.

Knows that Python's `re` cannot be stopped from another thread but does notice signals, so
patterns run in a small process of their own. Does not know checks.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable

MAX_TEXT = 20_000
"""Characters of an answer that a pattern sees."""
MAX_PATTERN = 1_000
SECONDS_EACH = 1.0
"""Of the processor: on a busy machine no pattern is late for that."""
SECONDS_ALL = 60.0

Pair = tuple[str, str, bool]
"""A pattern, a text, and whether case is ignored."""

_CHILD = """
import json, re, signal, sys
def late(*_):
    raise TimeoutError
signal.signal(signal.SIGVTALRM, late)
limit, pairs = json.load(sys.stdin)
found = []
for pattern, text, ignore in pairs:
    signal.setitimer(signal.ITIMER_VIRTUAL, limit)
    try:
        found.append(re.search(pattern, text, re.IGNORECASE if ignore else 0) is not None)
    except TimeoutError:
        found.append(None)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
json.dump(found, sys.stdout)
"""


def problem(pattern: str) -> str | None:
    """Why a pattern cannot be used, or None."""
    if len(pattern) > MAX_PATTERN:
        return f"the pattern has {len(pattern):,} characters; expected at most {MAX_PATTERN:,}"
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"not a regular expression: {error}"
    return None


def search(pairs: Iterable[Pair]) -> dict[Pair, bool | None]:
    """Whether each pattern is found in its text; None where it took too long to tell."""
    wanted = [(pattern, text[:MAX_TEXT], ignore) for pattern, text, ignore in dict.fromkeys(pairs)]
    if not wanted:
        return {}
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-c", _CHILD],
            input=json.dumps([SECONDS_EACH, wanted]),
            capture_output=True,
            text=True,
            timeout=SECONDS_ALL,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return dict.fromkeys(wanted)
    return dict(zip(wanted, json.loads(child.stdout), strict=True))
