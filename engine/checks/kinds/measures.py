"""Checks that count: a number in the answer, its length, its language.

Knows texts. What cannot be told is an error, not a failure.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable

from engine.checks.kinds.base import Answer, Check, Kind, Outcome, outcome
from engine.checks.kinds.texts import first_sentence

_NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?:[eE][-+]?\d{1,3})?(?![\d])"
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
WHICH = ("last", "first", "only", "any")
UNITS = ("chars", "words", "sentences", "lines", "tokens")


def numbers(text: str) -> list[float]:
    """The numbers in a text, in order: 1,234.5 and -3 and 2e6; `1. ` of a list counts too."""
    return [
        float(re.sub("[,\u00a0\u202f]", "", n).replace("−", "-")) for n in _NUMBER.findall(text)
    ]


def _number_within(check: Check, values: tuple[str, ...], answer: Answer) -> Outcome:
    found = numbers(answer.text)
    if not found:
        return Outcome("fail", "no number in it")
    if check.which == "only" and len(found) > 1:
        return Outcome("fail", f"{len(found)} numbers in it, not one")
    chosen = {"first": found[:1], "any": found}.get(check.which, found[-1:])
    low, high = check.low, check.high
    if values:
        wanted = numbers(values[0])
        if len(wanted) != 1:
            return Outcome("error", f"expected one number, not {values[0][:40]!r}")
        spare = max(check.tolerance, 1e-9 * abs(wanted[0]))
        low, high = wanted[0] - spare, wanted[0] + spare
    inside = any((low is None or n >= low) and (high is None or n <= high) for n in chosen)
    return outcome(inside, f"{chosen[-1]:g} is not within")


def _length(check: Check, _values: tuple[str, ...], answer: Answer) -> Outcome:
    unit = check.unit or "words"
    if unit == "tokens":
        if answer.tokens is None:
            return Outcome("skipped", "the number of tokens is not known")
        size = answer.tokens
    else:
        size = _COUNTS[unit](answer.text)
    inside = (check.low is None or size >= check.low) and (check.high is None or size <= check.high)
    return outcome(inside, f"{size:,} {unit}")


def _sentences(text: str) -> int:
    count, rest = 0, text.strip()
    while rest:
        first = first_sentence(rest)
        count += bool(_WORD.search(first) or numbers(first))
        rest = rest[len(first) :].lstrip() if first else rest[1:].lstrip()
    return count


_COUNTS: dict[str, Callable[[str], int]] = {
    "chars": lambda text: len(text.strip()),
    "words": lambda text: len(text.split()),
    "sentences": _sentences,
    "lines": lambda text: sum(bool(line.strip()) for line in text.split("\n")),
}

_COMMON = {
    "en": "the and of to in is it that for was with are this you not have be on as but they from "
    "at by an or which what there can your will would",
    "de": "der die das und ist nicht ein eine zu den mit von auf für sich dem es auch im sie wir "
    "ich du dass sind wird bei oder wie aber nur noch",
    "fr": "le la les des et est une un que qui dans pour pas vous nous avec sur ce cette sont au "
    "aux du mais ou il elle je ne plus être",
    "es": "el la los las de que y en un una es por con para no se del al lo como más pero son está "
    "su sus este esta muy también ser",
    "it": "il lo la gli le di che e è un una per non con del della dei sono nel nella al alla si "
    "come più ma anche questo questa essere molto",
    "pt": "o a os as de que e em um uma é por com para não se do da dos das no na ao mais mas são "
    "está como também você muito isso",
    "nl": "de het een en van is niet dat in te op zijn voor met die aan ook er maar om als dan bij "
    "naar deze wordt hij zij wij geen",
}
_PROFILES = {code: frozenset(words.split()) for code, words in _COMMON.items()}
_SCRIPTS = {
    "ru": "CYRILLIC",
    "uk": "CYRILLIC",
    "el": "GREEK",
    "he": "HEBREW",
    "ar": "ARABIC",
    "hi": "DEVANAGARI",
    "th": "THAI",
    "ko": "HANGUL",
    "ja": "CJK",
    "zh": "CJK",
}
LANGUAGES = (*_PROFILES, *_SCRIPTS)
"""Codes that `language` knows."""
_MOST = 0.6
_LEAD = 1.5


def language(text: str) -> str | None:
    """The language of a text by its script and its most common words, or None if it cannot be told.

    A language is named where at least two of its common words are there, and half as many again as
    of any other's.
    """
    script = _script(text)
    if script is None:
        return None
    if script != "LATIN":
        return _by_letters(script, set(text))
    hits: Counter[str] = Counter()
    for word in _WORD.findall(text.casefold()):
        for code, profile in _PROFILES.items():
            hits[code] += word in profile
    (best, most), (_, next_most) = hits.most_common(2) if len(hits) > 1 else ((None, 0), (None, 0))
    return best if most >= 2 and most >= _LEAD * next_most else None


def _script(text: str) -> str | None:
    """The script of most letters, or None where none has most of them."""
    found: Counter[str] = Counter()
    for char in text:
        if char.isalpha():
            name = unicodedata.name(char, "?").split()[0]
            found["CJK" if name in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA") else name] += 1
    if not found:
        return None
    script, count = found.most_common(1)[0]
    return script if count >= _MOST * found.total() else None


def _by_letters(script: str, letters: set[str]) -> str | None:
    if script == "CJK":
        kana = any("\u3040" <= char <= "\u30ff" for char in letters)
        return "ja" if kana else "zh"
    if script == "CYRILLIC":
        russian, ukrainian = bool(letters & set("ыэъё")), bool(letters & set("іїєґ"))
        return None if russian == ukrainian else "ru" if russian else "uk"
    return next((code for code, name in _SCRIPTS.items() if name == script), None)


def _language(_check: Check, values: tuple[str, ...], answer: Answer) -> Outcome:
    found = language(answer.text)
    if found is not None:
        return outcome(found in values, f"it is {found}")
    script = _script(answer.text)
    if script is not None and all(_SCRIPTS.get(code, "LATIN") != script for code in values):
        return Outcome("fail", f"its letters are {script.lower()}")
    return Outcome("error", "the language cannot be told")


KINDS = {
    "number_within": Kind(
        _number_within,
        "names a last number between `min` and `max`, or `value` ± `tolerance`; "
        "`which`: last, first, only or any",
        "may",
        frozenset({"min", "max", "tolerance", "which"}),
    ),
    "length": Kind(
        _length,
        f"has between `min` and `max` of `unit`: {', '.join(UNITS)}",
        "none",
        frozenset({"min", "max", "unit"}),
    ),
    "language": Kind(_language, f"is in one of the languages: {', '.join(LANGUAGES)}"),
}
