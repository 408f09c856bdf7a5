"""What llama.cpp says as it ends its process, in words for a reader.

Knows its assertions. Does not know where they were read.
"""

from __future__ import annotations

import re

GIVES_UP = "llama.cpp gives up on it"
_ASSERTED = re.compile(r"GGML_ASSERT\((.*)\) failed$")


def asserted(line: str) -> str | None:
    """The last line of a log, without the path of the build; None where it asserts nothing."""
    found = _ASSERTED.search(line)
    return f"{GIVES_UP}: not so that {found[1]}" if found else None
