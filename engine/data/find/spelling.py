"""The ways in which JSON may spell a text, as regular expressions over raw lines.

Knows JSON's escapes and enough of a regular expression's outline to see its plain characters.
Does not know files. A line may write é as é or \\u00e9, a slash as \\/, a quote as \\" or \\u0022:
who looks for the text means all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SHORT = {'"': '"', "\\": "\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_OTHERS = "<>&'+=`\x7f"
"""Characters that need no escape but that common writers escape all the same."""
_TOKEN = re.compile(
    r"\\Q.*?(?:\\E|$)|\\[pP](?:\{[^}]*\}|.)|\\x(?:\{[^}]*\}|..)|\\[0-7]{2,3}|\\."
    r"|\[\^?\]?(?:\\.|\[:[^\]]*:\]|[^\]\\])*\]"
    r"|\(\?P?<\w+>|\(\?[^:)(]*[:)]|[()|]|[*+?]\??|\{\d+(?:,\d*)?\}\??|.",
    re.DOTALL,
)
_COMMON = frozenset({"user", "assistant", "system", "role", "content", "messages", "value", ""})
_SPECIAL = frozenset("^$.")


def is_plain(char: str) -> bool:
    """Does JSON have one sensible spelling for this character only?"""
    return " " <= char < "\x7f" and char not in _SHORT and char not in _OTHERS


def spelled(char: str, *, ignore_case: bool) -> str:
    """A regular expression for every spelling of one character."""
    if is_plain(char):
        return re.escape(char) if not char.isalnum() else char
    variants = [char]
    if ignore_case:
        cases = (char.lower(), char.upper(), char.title(), char.casefold())
        variants += sorted({v for v in cases if len(v) == 1} - {char})
    found = []
    for variant in variants:
        # A raw quote or backslash is no spelling inside a string, but part of the line as it is.
        if variant not in "\n\r":
            found.append(re.escape(variant))
        if variant in _SHORT:
            found.append(re.escape("\\" + _SHORT[variant]))
        units = variant.encode("utf-16-be", "surrogatepass")
        found.append(
            "".join(
                "\\\\u" + "".join(_hex(digit) for digit in units[at : at + 2].hex())
                for at in range(0, len(units), 2)
            )
        )
    return f"(?:{'|'.join(found)})"


def literal(text: str, *, ignore_case: bool) -> tuple[str, tuple[str, ...]]:
    """A regular expression for a text in every spelling, and its longest run of plain characters.

    The expression equals the run where the text has one spelling only; no run, where none is plain.
    """
    runs = re.split(
        "|".join(re.escape(c) for c in sorted({c for c in text if not is_plain(c)})) or "(?!)", text
    )
    pattern = "".join(spelled(char, ignore_case=ignore_case) for char in text)
    longest = max(runs, key=len, default="")
    return pattern, (longest,) if longest else ()


def expression(regex: str, *, ignore_case: bool) -> tuple[str, tuple[str, ...]]:
    """A user's regular expression made to see JSON's spellings; and texts it cannot do without.

    Only plain characters outside of brackets that are not ASCII, and the escapes `\\n`, `\\r`,
    `\\t`, are widened: the rest is matched against the line as it is. One of the texts, of which
    there may be none, is in every match, in some case if the expression has flags of its own.
    """
    out: list[str] = []
    runs: list[str] = [""]
    branches = [runs]
    depth = 0
    for token in _tokens(regex):
        if token == "|" and depth == 0:
            runs = []
            branches.append(runs)
        if token == "(" or (token.startswith("(?") and not token.endswith(")")):
            depth += 1
        elif token == ")":
            depth -= 1
        elif token[0] in "*+?{" and out:
            # What may be there any number of times is no certain part, nor are its neighbours one.
            runs[-1] = runs[-1][:-1]
            runs.append("")
        if len(token) == 1 and token not in "()|*+?{" and token not in _SPECIAL:
            plain = is_plain(token) and depth == 0
            runs[-1:] = [runs[-1] + token] if plain else [runs[-1], ""]
            out.append(token if token.isascii() else spelled(token, ignore_case=ignore_case))
        elif token in ("\\n", "\\r", "\\t"):
            runs.append("")
            out.append(spelled({"n": "\n", "r": "\r", "t": "\t"}[token[1]], ignore_case=False))
        elif len(token) == 2 and token[0] == "\\" and is_plain(token[1]) and not token[1].isalnum():
            runs[-1:] = [runs[-1] + token[1]] if depth == 0 else [runs[-1], ""]
            out.append(token)
        elif token == "$":
            runs.append("")
            # The end of the line is before its ending, whichever that is.
            out.append("(?:\r?$)")
        else:
            runs.append("")
            out.append(token)
    needles = tuple(max(runs, key=_rarity) for runs in branches)
    return "".join(out), needles if all(needles) else ()


def has_capitals(regex: str) -> bool:
    """Does the expression name a capital letter (escapes as `\\S` aside)?"""
    return any(
        any(char.isupper() for char in re.sub(r"\\.", "", token))
        for token in _tokens(regex)
        if not token.startswith(("\\p", "\\P", "\\x", "(?"))
    )


def has_flags(regex: str) -> bool:
    """Does the expression set flags of its own, as `(?i)`?"""
    return any(re.match(r"\(\?[a-zA-Z-]+[:)]", token) for token in _tokens(regex))


def open_bracket(regex: str) -> int | None:
    """Where a parenthesis is that has no partner, from 0."""
    stack, at = [], 0
    for token in _tokens(regex):
        if token == "(" or (token.startswith("(?") and not token.endswith(")")):
            stack.append(at)
        elif token == ")":
            if not stack:
                return at
            stack.pop()
        at += len(token)
    return stack[-1] if stack else None


def _rarity(run: str) -> tuple[bool, int]:
    """What is in nearly every line of a chat file tells lines apart less than what is short."""
    return run.strip(' "') not in _COMMON, len(run)


def _tokens(regex: str) -> Iterator[str]:
    return (match[0] for match in _TOKEN.finditer(regex))


def _hex(digit: str) -> str:
    return digit if digit.isdigit() else f"[{digit}{digit.upper()}]"
