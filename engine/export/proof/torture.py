"""Texts that tokenizers trip over: the same ones every time, for proofs and benches.

Knows characters. Does not know tokenizers; what special tokens there are is told.
"""

from __future__ import annotations

import itertools
import random
import unicodedata
from collections.abc import Iterator, Sequence

_SCRIPTS = (
    "The quick brown fox can't jump over 13 lazy dogs.",
    "Zażółć gęślą jaźń, ÄRGER mit STRAßE",
    "Съешь ещё этих мягких французских булок, да выпей ЧАЮ",
    "Ξεσκεπάζω τὴν ψυχοφθόρα ΒΔΕΛΥΓΜΊΑ", "中文字符，標點。「引號」一二三",
    "日本語のテキスト、カタカナとひらがな。ｶﾞｷﾞ", "한국어 문장과 ㄱㄴㄷ",
    "עִבְרִית עם נִקּוּד", "اَلْعَرَبِيَّةُ مع تَشْكِيل ١٢٣٤",
    "فارسی با نیم‌فاصله ۱۲۳", "हिन्दी में क्षत्रिय १२३४५", "বাংলা যুক্তাক্ষর ক্ষ্ম",
    "தமிழ் எழுத்துக்கள்", "తెలుగు అక్షరాలు", "ಕನ್ನಡ ಅಕ್ಷರ", "മലയാളം ലിപി",
    "ગુજરાતી લિપિ", "ਪੰਜਾਬੀ ਗੁਰਮੁਖੀ", "සිංහල අකුරු", "ภาษาไทยไม่มีช่องว่าง๑๒๓",
    "ພາສາລາວ", "មនុស្សទាំងអស់ ១២៣", "မြန်မာဘာသာ", "བོད་སྐད་", "አማርኛ ፊደል ፩፪፫",
    "ქართული ენა ᲥᲐᲠᲗᲣᲚᲘ", "Հայերեն լեզու", "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "ᐃᓄᒃᑎᑐᑦ", "ᠮᠣᠩᠭᠣᠯ",
    "Tiếng Việt có dấu ngã", "Türkçe İstanbul ıIiİ", "ǅungla Ǉ ǈ ǉ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟏𝟐𝟑 𝒜𝓑",
    "𐐀𐐨 𐌰𐌱 𒀀𒁀 𓀀𓁀", "ⅷ Ⅻ ½ ⅓ ² ₃ ① ㈠ ㊿ 🄀", "ﬁ ﬄ ﷺ ﷽ Å Å K K Ω Ω",
    "ſtreet 'ſ 'ſt 'S 'K",
)  # fmt: skip
_WORDS = (
    "Hello, world!",
    "don't DON'T we'll WE'LL I'm I'M they've it's IT'S 'tis he'D 're 'RE", "’s ’t ’LL",
    "''s '''ll 'sx 'Ts", "3.14159", "1234567890", "12 345 6789", "1,234,567.89",
    "0x1F 1e-10 007", "v1.2.3-rc4", "x=1;y=2", "a+b==c && d||e",
    '{"key": [1, 2, null]}', "<b>bold</b>", "path/to/file.txt", "C:\\Users\\n",
    "user@example.org", "https://example.org/?q=1&r=%20#x", "$HOME/bin:$PATH",
    "ls -la | grep 'x' > o.txt", "for i in range(10):\n    print(i)\n",
    "\tif (x) {\n\t\treturn;\n\t}\n", "// comment\n/* b */", "SELECT * FROM t;",
    "def f(a, *b, **c): -> None", "#include <stdio.h>\r\nint main(){}\r\n",
    "\\frac{a}{b}^{2}", "a_b__c___d",
    "snake_case camelCase PascalCase ALLCAPS kebab-case",
    "iPhone eBAY McDonald XMLHttpRequest", "....", "----", "!!!???", "((()))",
    "[[]]{}", "``` code ```", "# Title", "* item", "| a | b |", "~~x~~ **y** __z__",
    "…–—“”‘’", "«» ¿¡ №§¶", "∑∫√≠≤ →←", "€£¥₿ $1.00 100% ±5°C", "😀", "👩‍👩‍👧‍👦",
    "🇩🇪🇫🇷🇺", "👍🏽👍🏿", "a😀b", "❤️ ☺︎ 1️⃣ #️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "▁", "▁▁a", " ▁ ", "Ġ",
    "Ċ", "Ã©", "##ing", "@@ x", "<0x0A>", "<0x41>", "[PAD7]", "[UNK]", "<unk>", "<s>",
    "</s>", "<|not_special|>", "<|im_start", "|im_end|>", "< |im_end|>", "<|IM_END|>",
    "[INST] x [/INST]", "<start_of_turn>", "<bos><eos>", "<|endoftext|>", "<<SYS>>",
    "<think>\n\n</think>", "<tool_call>{}</tool_call>", "naïve café",
)  # fmt: skip
_SPACES = (
    " \t\n\r\v\f\x1c\x1f\x85\u00a0\u1680\u2002\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_MARKS = "\u0301\u0308\u0323\u0338\u0345\u05b0\u064b\u093c\u0e31\u20dd\u3099\ufe0f\ufe20\U0001d165"
_ODD = (
    "\u200b\u200c\u200d\u200e\u202e\u2060\ufeff\ufffc\ufffd\ufffe\uffff\ufdd0\ud7ff\ue000\uf8ff\u0000\u0001\u001b"
    "\u007f\u0080\u009b\u00ad\u034f\u061c\u115f\u17b4\u180e\U0001f3fb\U000e0041\U000f0000\U0010ffff\U0001fffe"
)
_LENGTHS = (2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 33, 64, 127)
_REPEATED = (
    " ",
    "\n",
    "\t",
    "\r\n",
    "a",
    "A",
    "é",
    "0",
    "7",
    "٣",
    "=",
    "-",
    ".",
    "'",
    "哈",
    "😀",
    "\u0301",
    "▁",
)
_JOINTS = ("", " ", "\n", "  ", " \n", "\u00a0")
_JOINED = 500


def torture(special: Sequence[str]) -> list[str]:
    """More than 1,100 texts, and more for every special token.

    Args:
        special: texts of the tokenizer's added tokens, each of which is written into texts.
    """
    texts = itertools.chain(_plain(), _joined(), _special(special))
    return list(dict.fromkeys(text for text in texts if text))


def _plain() -> Iterator[str]:
    for text in (*_SCRIPTS, *_WORDS):
        yield text
        yield unicodedata.normalize("NFD", text)
        yield f" {text}\n"
    for text in _SCRIPTS:
        yield text.upper()
        yield text.title().replace(" ", "")
    for piece, length in itertools.product(_REPEATED, _LENGTHS):
        yield piece * length
    for space in _SPACES:
        yield from (space, f"a{space}b", f"{space}a", f"1{space}{space}2", f" {space} \n{space}x")
    for mark in _MARKS:
        yield from (
            mark,
            f"a{mark}b",
            f" {mark}x",
            f"1{mark}",
            f"!{mark}",
            f"A{mark}{mark}É",
            f"\n{mark}",
        )
    for odd in _ODD:
        yield from (odd, f"a{odd}b", f" {odd} 1")


def _joined() -> Iterator[str]:
    """Pairs and triples of what came before, drawn by dice that always fall the same way."""
    dice = random.Random(6)
    pieces = [*_SCRIPTS, *_WORDS, *_SPACES, *_MARKS, *_ODD]
    for _ in range(_JOINED):
        first, second, third = (dice.choice(pieces)[: dice.randint(1, 40)] for _ in range(3))
        yield first + dice.choice(_JOINTS) + second + dice.choice(_JOINTS) + third


def _special(special: Sequence[str]) -> Iterator[str]:
    for token in special:
        yield from (token, f"a{token}b", f" {token} x\n{token}{token}\n\n1")
    for token, mark in itertools.product(special[:16], _MARKS[:4]):
        yield f"e{token}{mark}e"
