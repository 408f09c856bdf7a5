"""What a proof is measured on: held-out conversations, and texts that tokenizers trip over.

Knows rows and the renderer. Does not know models. All of it is fixed, so that a proof can be
repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.rows import Turn, parse_row
from engine.render.renderer import Renderer
from store.errors import BadInput, Unsupported

MAX_SAMPLES = 256
MAX_LENGTH = 512

_QUESTIONS = (
    "Hello!",
    "What is 7 plus 8?",
    "Name three colours and say which one you like best.",
    "List the files in this folder, newest first.",
    "Spell the word 'necessary', one letter at a time.",
    "Explain in two sentences why the sky is blue.",
    "Schreibe einen kurzen Satz über den Fluss.",
    "def add(a, b):\n    return a + b\n\nWhat does this do?",
    "Count from 1 to 12.",
    "Is a whale a fish? Answer yes or no.",
    "Translate 'good morning' into French.",
    "   Where do the spaces go?   ",
)
_SYSTEM = "You are a helpful assistant. Answer briefly."
_ANSWER = "It is a short answer, with a number (15), a name and an end."


@dataclass(frozen=True, slots=True)
class Sample:
    """One held-out example as the trained model reads it.

    Attributes:
        turns: the conversation; empty for plain text.
        text: what is tokenised. ids, mask: what comes out, and 1 where the loss counts.
    """

    turns: tuple[Turn, ...]
    text: str
    ids: tuple[int, ...]
    mask: tuple[int, ...]


def held_out(renderer: Renderer, chats: Path | None) -> list[Sample]:
    """Samples from a JSONL file of held-out rows, or from the shipped conversations.

    Rows that cannot be rendered are left out: training left them out too.
    """
    samples: list[Sample] = []
    if chats is not None and chats.is_file():
        with chats.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                row = parse_row(number, line.rstrip(b"\r\n"))
                if row.error is None:
                    samples += _sample(renderer, row.turns, row.text if not row.turns else "")
                if len(samples) >= MAX_SAMPLES:
                    break
    return samples or shipped(renderer)


def read_for_importance(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Every second one: what a file was fitted to is not what it is measured on."""
    return samples[1::2]


def kept_for_the_proof(samples: Sequence[Sample]) -> list[Sample]:
    """The others."""
    return list(samples[::2])


def shipped(renderer: Renderer) -> list[Sample]:
    """The shipped conversations in every shape that the template takes."""
    samples: list[Sample] = []
    for number, question in enumerate(_QUESTIONS):
        turns = [Turn("user", question), Turn("assistant", _ANSWER)]
        if number % 3 == 1:
            turns = [*turns, Turn("user", "Thank you."), Turn("assistant", "Gladly.")]
        if number % 2:
            samples += _sample(renderer, [Turn("system", _SYSTEM), *turns], "") or _sample(
                renderer, turns, ""
            )
        else:
            samples += _sample(renderer, turns, "")
    return samples or [s for q in _QUESTIONS for s in _sample(renderer, (), f"{q} {_ANSWER}")]


def _sample(renderer: Renderer, turns: Sequence[Turn], text: str) -> list[Sample]:
    try:
        rendered = renderer.render(turns, spans=False) if turns else renderer.render_text(text)
    except (BadInput, Unsupported):
        return []
    return [Sample(tuple(turns), rendered.text, tuple(rendered.ids), tuple(rendered.mask))]


_PIECES = (
    "", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\n  x", "a ", " a",
    "\u00a0", "\u3000",
    "Hello, world!", "don't DON'T we'll I'm they've it's 'tis", "3.14159", "1234567890", "12 345",
    "x=1;y=2", "a+b==c && d||e", "{\"key\": [1, 2, null]}", "<b>bold</b>", "path/to/file.txt",
    "C:\\Users\\name", "user@example.org", "https://example.org/?q=1&r=%20", "$HOME/bin:$PATH",
    "ls -la | grep 'x' > out.txt", "for i in range(10):\n    print(i)\n", "// comment\n/* b */",
    "naïve café", "Straße", "Ünïcödé", "e\u0301 vs é", "o\u0308", "ﬁ ligature", "ⅷ ½ ²", "١٢٣",
    "中文字符", "日本語テキスト", "한국어 문장", "Русский текст", "Ελληνικά", "עברית",
    "العربية", "हिन्दी",
    "ไทย", "தமிழ்", "😀", "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "👍🏽", "a😀b", "…–—“”‘’", "«»", "¿¡",
    "№§¶", "∑∫√≠≤", "→←",
    "\u200b", "\u200d", "\ufeff", "\u202e", "\ufffd", "\x00", "\x01\x02", "\x1b[31m", "\x7f",
    "aaaaaaaaaaaaaaaaaaaaaaaa", "AAAA", "aAbBcC", "snake_case", "camelCase", "kebab-case",
    "ALLCAPS",
    "....", "----", "!!!???", "((()))", "[[]]", "``` code ```", "# Title", "* item", "| a | b |",
    "<|not_special|>", "<s>", "</s>", "[INST]", "<0x0A>", "▁", "Ġ", "Ċ", "##", "@@",
)  # fmt: skip
_JOINTS = (" ", "\n", "")


def torture(special: Sequence[str]) -> list[str]:
    """About 300 texts: scripts, spaces, digits, code, broken marks, and every special token.

    Args:
        special: texts of the tokenizer's added tokens; the first 32 are used.
    """
    texts = [piece for piece in _PIECES if piece]
    count = len(_PIECES)
    for number, joint in enumerate(_JOINTS):
        step = 7 + 4 * number
        texts += [p + joint + _PIECES[(i * step + 3) % count] for i, p in enumerate(_PIECES)]
    for token in special[:32]:
        texts += [token, f"a{token}b", f"{token} x", f" {token}{token}\n"]
    return list(dict.fromkeys(text for text in texts if text))
