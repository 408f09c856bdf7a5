"""A row as a person reads it: chat turns, or the tokens that training sees.

Knows rows and renderings; builds `Content` and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from screens.safe import LIMIT, clip, text, visible

if TYPE_CHECKING:
    from engine.data.rows import Row
    from engine.render.renderer import Rendered

MOST_TOKENS = 4_000
"""Tokens shown at most; more would only scroll."""
_ROLE_STYLES = {"system": "$text-muted bold", "user": "bold", "assistant": "$accent bold"}


def turns_content(row: Row, rendered: Rendered | None) -> Content:
    """The turns, each under its role; a broken row as it stands, under its reason."""
    if row.error is not None:
        raw, _ = clip(row.raw.decode("utf-8", "replace"), LIMIT // 8)
        return Content("\n\n").join(
            [Content.styled("✗ ", "$text-error bold") + text(row.error), text(raw, "$text-muted")]
        )
    if not row.turns:
        return Content.styled("text\n", "bold") + text(row.text)
    spans = rendered.spans if rendered is not None else ()
    known = len(spans) == len(row.turns)
    blocks: list[Content] = []
    left = LIMIT
    for place, turn in enumerate(row.turns):
        head = text(turn.role, _ROLE_STYLES.get(turn.role, "bold"), limit=40)
        if known and spans[place].trained:
            head += Content.styled("  ✓ trained", "$text-success")
        elif turn.role == "assistant" and known:
            head += Content.styled("  not trained", "$text-muted")
        body = text(turn.text, limit=max(0, left))
        left -= len(turn.text)
        blocks.append(head + Content("\n") + (body if turn.text else _nothing()))
        if left <= 0 and place + 1 < len(row.turns):
            more = len(row.turns) - place - 1
            blocks.append(Content.styled(f"… {more:,} more turns not shown", "$text-warning"))
            break
    return Content("\n\n").join(blocks)


def _nothing() -> Content:
    return Content.styled("(empty)", "$text-muted italic")


def tokens_content(rendered: Rendered) -> Content:
    """Every token in order: trained ones coloured and underlined, the others muted.

    Spaces show as `·`, line breaks as `↵`, and every other token lies on a lighter ground, so
    that the edges of tokens can be seen.
    """
    parts: list[Content] = []
    shown_tokens = zip(rendered.tokens[:MOST_TOKENS], rendered.mask[:MOST_TOKENS], strict=True)
    for place, (token, trained) in enumerate(shown_tokens):
        shown = visible(token.replace(" ", "·").replace("\n", "↵"))
        ground = " on $panel" if place % 2 else ""
        parts.append(
            Content.styled(shown, ("$accent underline" if trained else "$text-muted") + ground)
        )
        if token.endswith("\n"):
            parts.append(Content("\n"))
    left = len(rendered.tokens) - MOST_TOKENS
    if left > 0:
        parts.append(Content.styled(f"\n… {left:,} more tokens not shown", "$text-warning italic"))
    if rendered.cut:
        parts.append(
            Content.styled(f"\n✂ {rendered.cut:,} tokens cut off here", "$text-warning bold")
        )
    return Content("").join(parts)


def verdict(rendered: Rendered, max_length: int) -> Content:
    """One line under the tokens: what is right and what wants a look."""
    parts = [
        _sign(rendered.trained_tokens > 0, f"{rendered.trained_tokens:,} trained"),
        _sign(rendered.bos <= 1, {0: "no BOS", 1: "BOS once"}.get(rendered.bos, "BOS doubled")),
        _sign(rendered.turn_end_trained, "turn end trained"),
        _sign(rendered.cut == 0, f"cut at {max_length:,}" if rendered.cut else "whole"),
    ]
    return Content("  ").join(parts)


def _sign(good: bool, words: str) -> Content:
    if good:
        return Content.styled(f"{words} ", "$text-muted") + Content.styled("✓", "$text-success")
    return Content.styled(f"{words} !", "$text-warning")


def warning_of(rendered: Rendered) -> str:
    """What is odd about a row in a few words; empty when nothing is."""
    if rendered.cut:
        return f"{rendered.cut:,} tokens cut"
    if rendered.trained_tokens == 0:
        return "nothing is trained"
    if rendered.bos > 1:
        return "BOS doubled"
    return "" if rendered.turn_end_trained else "end of turn not trained"
