"""Documents as blocks of equal length, without losing a token: for method=text.

Documents lie end to end in the order of the file, each with its end-of-text token. A block begins
with the last token of the block before it, which is context there: so every token is predicted
exactly once, but for the very first. A block may hold the end of one document and the start of the
next, which sees it; the end-of-text token between them tells them apart. Knows ids and labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Document = tuple[int, Ids, Ids]
"""Line, ids and labels."""


def count(tokens: int, length: int) -> int:
    """How many blocks so many tokens give."""
    return max(1, -(-(tokens - 1) // (length - 1))) if tokens > 1 else 0


def cut(documents: Sequence[Document], length: int, ignored: int) -> Iterator[Document]:
    """Blocks of at most `length` tokens; each is named by the line of its first new token.

    Args:
        ignored: the label of a token without loss.
    """
    if not documents:
        return
    ids = np.concatenate([document[1] for document in documents])
    labels = np.concatenate([document[2] for document in documents])
    ends = np.cumsum([len(document[1]) for document in documents])
    for start in range(0, max(len(ids) - 1, 0), length - 1):
        end = min(start + length, len(ids))
        block = labels[start:end].copy()
        if start:
            block[0] = ignored  # Trained as the last token of the block before.
        first = int(np.searchsorted(ends, start + (start > 0), side="right"))
        yield documents[first][0], ids[start:end], block
