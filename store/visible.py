"""Untrusted text made safe to show: control bytes and bidi overrides become visible signs.

Knows characters only. Used wherever text from data, models, templates or logs leaves for a
terminal; single characters are mapped, so a stream may be cut anywhere.
"""

from __future__ import annotations

_TABLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    **dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd"),
    **dict.fromkeys([0x200E, 0x200F, 0x061C], "\ufffd"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}


def visible(text: str, *, keep_newlines: bool = False) -> str:
    """Map C0 to control pictures, and C1, bidi controls and surrogates to U+FFFD.

    Args:
        keep_newlines: leave line feeds and tabs as they are.
    """
    if text.isprintable():
        return text
    if not keep_newlines:
        return text.translate(_TABLE)
    return text.translate({code: s for code, s in _TABLE.items() if code not in (0x09, 0x0A)})
