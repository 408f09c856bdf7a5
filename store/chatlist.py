"""Old chats as a list, and finding words in all of them.

Every chat that has all the words, in its title or in anything that was asked or said, whatever
branch it is on. The texts are read through each time: a hundred thousand turns take a tenth of a
second, and no index has to be kept true. Knows no screen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from store.catalogue import Catalogue
from store.chats import Chat, chat_of
from store.sqlite import rows, storable

LONGEST_WORD = 1000
AROUND = 30
"""Characters of a passage before the word that was found."""
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """A chat in the list.

    Attributes:
        questions: how many were asked, on all branches.
        passage: where the first word was found last, a few words of it; empty in the title.
    """

    chat: Chat
    questions: int
    passage: str = ""


def listed(cat: Catalogue, text: str = "", limit: int | None = None) -> list[Listed]:
    """Chats that have all the words of `text`, the one asked last first.

    A word is any piece of text between spaces; upper and lower case are the same. Words in double
    quotes are one.
    """
    words = words_of(text)
    where, which = "", []
    hits: dict[int, int] = {}
    if words:
        hits = _hits(cat, words)
        if not hits:
            return []
        which = sorted(hits)
    found = []
    for some in _portions(which) if words else [[]]:
        if some:
            where = f"WHERE id IN ({','.join('?' * len(some))})"
        sql = (
            "SELECT chats.*, (SELECT count(*) FROM turns WHERE chat_id = chats.id "
            f"AND position % 2 = 0) AS questions FROM chats {where}"
        )
        found += rows(cat.db, sql, some)
    found.sort(key=lambda row: (row["changed"], row["id"]), reverse=True)
    found = found[:limit]
    passages = _passages(cat, [hits.get(row["id"], 0) for row in found], words)
    made = []
    for row in found:
        count = row.pop("questions")
        made.append(Listed(chat_of(row), count, passages.get(hits.get(row["id"], 0), "")))
    return made


def words_of(text: str) -> list[str]:
    """What is looked for: pieces between spaces, or between double quotes."""
    found: list[str] = []
    for place, piece in enumerate(storable(text).split('"')):
        found += [piece] if place % 2 and piece.strip() else piece.split() if not place % 2 else []
    return [word[:LONGEST_WORD] for word in found]


def _hits(cat: Catalogue, words: list[str]) -> dict[int, int]:
    """Chats with all the words, and the newest turn that has the first (0: its title has it)."""
    best: dict[int, int] | None = None
    for word in words:
        test, value = _test(cat, word)
        sql = (
            f"SELECT chat_id, max(id) AS turn FROM turns WHERE {test.format('text')} GROUP BY 1 "
            f"UNION ALL SELECT id, 0 FROM chats WHERE {test.format('title')}"
        )
        here: dict[int, int] = {}
        for row in rows(cat.db, sql, [value, value]):
            here[row["chat_id"]] = max(row["turn"], here.get(row["chat_id"], 0))
        best = here if best is None else {chat: turn for chat, turn in best.items() if chat in here}
    return best or {}


def _test(cat: Catalogue, word: str) -> tuple[str, str]:
    """A condition on a column, and the value it compares with."""
    if word.isascii():
        escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return "{} LIKE ? ESCAPE '\\'", f"%{escaped}%"
    # SQLite knows no upper and lower case beyond ASCII.
    cat.db.conn.create_function("folded", 1, str.casefold, deterministic=True)
    return "instr(folded({}), ?)", word.casefold()


def _passages(cat: Catalogue, turns: list[int], words: list[str]) -> dict[int, str]:
    found = {}
    for some in _portions([turn for turn in turns if turn]):
        marks = ",".join("?" * len(some))
        for row in rows(cat.db, f"SELECT id, text FROM turns WHERE id IN ({marks})", some):
            found[row["id"]] = passage(row["text"], words[0])
    return found


def passage(text: str, word: str, length: int = 200) -> str:
    """A few words around the first place where a word stands, on one line."""
    at = max(0, text.casefold().find(word.casefold()))
    start = max(0, at - AROUND)
    cut = " ".join(text[start : start + length].split())
    return ("…" if start else "") + cut


def _portions(numbers: Iterable[int]) -> list[list[int]]:
    every = list(numbers)
    return [every[start : start + _AT_ONCE] for start in range(0, len(every), _AT_ONCE)]
