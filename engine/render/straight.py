"""Rows that say themselves what is trained: token ids with labels, and segments of text.

Knows Axolotl's two formats for them (`input_ids`/`labels`, and `segments`). Knows no template.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from engine.data.rows import Row
from engine.render.rendered import Rendered
from store.errors import BadInput

IGNORED = -100
"""The label of a token without loss."""


def from_ids(
    row: Row, tokenizer: Tokenizer, bos_id: int | None, stop_ids: Sequence[int]
) -> Rendered:
    """Ids as they are; trained where the label is the id.

    Raises:
        BadInput: ids of another vocabulary, or labels that are neither the id nor -100.
    """
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    for place, token in enumerate(row.ids):
        if not 0 <= token < size:
            raise BadInput(
                f"line {row.number}: input_ids.{place}: {token}; expected 0 to {size - 1:,}, the "
                "ids of this model",
                "The row was tokenised for another model: tokenise it again, or convert to text.",
            )
    labels = row.labels or row.ids
    if len(labels) != len(row.ids):
        raise BadInput(
            f"line {row.number}: labels has {len(labels):,} entries; expected {len(row.ids):,}, "
            "one for each of input_ids",
            "Make both the same length.",
        )
    for place, (token, label) in enumerate(zip(row.ids, labels, strict=True)):
        if label not in (token, IGNORED):
            raise BadInput(
                f"line {row.number}: labels.{place}: {label}; expected {token} (the id there) or "
                f"{IGNORED}",
                "A label is the id itself where it is trained, and -100 where it is not.",
            )
    mask = [int(label != IGNORED) for label in labels]
    tokens = [tokenizer.decode([token], skip_special_tokens=False) for token in row.ids]
    text = tokenizer.decode(list(row.ids), skip_special_tokens=False)
    return _rendered(list(row.ids), mask, tokens, str(text), bos_id, stop_ids)


def from_segments(
    row: Row, tokenizer: Tokenizer, bos_id: int | None, stop_ids: Sequence[int]
) -> Rendered:
    """Each segment tokenised by itself without special tokens of the tokenizer's own."""
    ids: list[int] = []
    mask: list[int] = []
    tokens: list[str] = []
    for text, trained in row.segments:
        [encoding] = tokenizer.encode_batch([text], add_special_tokens=False)
        ids += encoding.ids
        mask += [int(trained)] * len(encoding.ids)
        tokens += [text[a:b] for a, b in encoding.offsets]
    whole = "".join(text for text, _ in row.segments)
    return _rendered(ids, mask, tokens, whole, bos_id, stop_ids)


def _rendered(
    ids: list[int],
    mask: list[int],
    tokens: list[str],
    text: str,
    bos_id: int | None,
    stop_ids: Sequence[int],
) -> Rendered:
    bos = 0
    while bos < len(ids) and ids[bos] == bos_id:
        bos += 1
    ends = [
        ids[place] in stop_ids
        for place in range(len(ids))
        if mask[place] and not (place + 1 < len(ids) and mask[place + 1])
    ]
    return Rendered(
        ids=ids,
        mask=mask,
        tokens=tokens,
        spans=(),
        text=text,
        cut=0,
        bos=bos,
        turn_end_trained=bool(ends) and all(ends),
        notes=(),
    )
