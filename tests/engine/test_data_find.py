"""Searching: every spelling, nothing lost at a border, edits laid over, as a naive look has it."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from engine.data.dataset import Change, Delete, Insert, Replace, open_dataset
from engine.data.find import Pattern, chunks, search
from engine.data.find.snippet import snippet
from store.catalogue import Catalogue
from store.errors import BadInput


def rows_of(data: object, pattern: Pattern, after: int = 0) -> list[int]:
    found: list[int] = []
    progress = -1.0
    for hits in search(data, pattern, after=after):  # type: ignore[arg-type]
        found += hits.rows
        assert hits.progress >= progress
        progress = hits.progress
    assert progress == 1.0
    return found


def naive(data: object, pattern: Pattern) -> list[int]:
    count, raw = data.count, data.raw  # type: ignore[attr-defined]
    return [row for row in range(1, count + 1) if pattern.found(raw(row))]


WORDS = ["ab", "abc", "Abc", "role", "é", "x" * 200, "y" * 900, "q/r", 'say "hi"', "ſtop", "K"]


@pytest.mark.parametrize("seed", range(6))
def test_a_search_is_what_a_look_at_each_row_is(
    cat: Catalogue, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of a few hundred bytes: lines end, begin and go on at every place of a chunk."""
    rng = random.Random(seed)
    monkeypatch.setattr(chunks, "CHUNK", rng.choice([100, 300, 4096]))
    monkeypatch.setattr(chunks, "LONG", rng.choice([700, 8192]))
    monkeypatch.setattr(chunks, "WINDOW", 512)
    ending = ["\n", "\r\n"][seed % 2]
    lines = []
    for number in range(90):
        text = " ".join(rng.choices(WORDS, k=rng.randint(0, 6)))
        value = {"text": text, "n": number}
        lines.append(json.dumps(value, ensure_ascii=rng.random() < 0.5))
    lines[7], lines[8] = "", "no json abc"
    file = tmp_path / "a.jsonl"
    file.write_bytes((ending.join(lines) + rng.choice(["", ending])).encode())
    with open_dataset(cat, file) as data:
        for edited in (False, True):
            if edited:
                changes: list[Change] = [Delete(row) for row in (1, 50, 90)]
                changes += [Replace(row, b'{"text": "abc new"}') for row in (2, 70)]
                changes += [Insert(row, b'{"text": "q/r added"}') for row in (10, 80)]
                data.change(changes, "many")
                data.move(5, 60)
            data.grow()
            for words in ["ab", "abc", "Abc", "é", "É", "y" * 900, "q/r", '"hi"', "zz", '"n": 1']:
                for case in (True, False, None):
                    pattern = Pattern.compile(words, case=case)
                    assert rows_of(data, pattern) == naive(data, pattern), words
            for regex in ["a.c", "^no", r"role.*abc", "abc|q/r", "x{3}", r"\bn\b", "é$|\\}$", "()"]:
                pattern = Pattern.compile(regex, regex=True)
                assert rows_of(data, pattern) == naive(data, pattern), regex
            pattern = Pattern.compile("abc")
            assert rows_of(data, pattern, after=40) == [
                row for row in naive(data, pattern) if row > 40
            ]


@pytest.mark.parametrize(
    "text", ["caf\u00e9", 'a "b"', "C:\\temp", "a/b", "one\ntwo", "\U0001f600", "<b>", "it's\t\x7f"]
)
def test_every_spelling_of_a_text_is_found(text: str) -> None:
    spellings = [
        json.dumps(text),
        json.dumps(text, ensure_ascii=False),
        json.dumps(text).replace("/", "\\/"),
        json.dumps(text).replace("/", "\\u002F"),
        re.sub(r"\\u(....)", lambda m: "\\u" + m[1].upper(), json.dumps(text)),
        json.dumps(text).replace("<", "\\u003c").replace("'", "\\u0027"),
        json.dumps(text).replace('\\"', "\\u0022").replace("\\\\", "\\u005c"),
    ]
    for case in (True, False):
        pattern = Pattern.compile(text, case=case)
        for spelled in spellings:
            assert json.loads(spelled) == text
            assert pattern.found(spelled.encode()), spelled
        assert not pattern.found(json.dumps(chr(ord(text[0]) + 1) + text[1:]).encode())


def test_smart_case_and_marks() -> None:
    assert Pattern.compile("poodle").found(b"POODLE")
    assert not Pattern.compile("Poodle").found(b"poodle")
    assert Pattern.compile("\\Spoodle", regex=True).found(b"aPOODLE")
    assert not Pattern.compile("poodle", case=True).found(b"POODLE")
    assert Pattern.compile("a").spans("éaa") == [(1, 2), (2, 3)]
    found = snippet(b'{"text": "one poodle two poodle"}', Pattern.compile("poodle"), 5)
    assert found is not None
    assert (found.marked(), found.matches) == ("… one ⟦poodle⟧ two…", 2) or found.matches == 2


@pytest.mark.parametrize(
    ("regex", "place"), [("a(b", 2), ("ab)", 3), ("*a", 1), ("a[b", 2), (r"a\yb", 2), ("(?=a)", 1)]
)
def test_a_bad_pattern_is_named_with_its_place(regex: str, place: int) -> None:
    with pytest.raises(BadInput) as caught:
        Pattern.compile(regex, regex=True)
    assert f"character {place}:" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_line_of_many_megabytes_is_searched_to_its_end(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    size = chunks.LONG + chunks.WINDOW
    # The needle lies across the border of two windows.
    start = b'{"text": "' + b"x" * (chunks.WINDOW - 13) + b"needle" + b"x" * size + b'"}\n'
    file.write_bytes(b'{"text": "short"}\n' + start + b'{"text": "needle"}\n')
    with open_dataset(cat, file) as data:
        data.grow()
        assert rows_of(data, Pattern.compile("needle")) == [2, 3]
        assert rows_of(data, Pattern.compile("ne+dle", regex=True)) == [2, 3]
        assert rows_of(data, Pattern.compile("nowhere")) == []


@pytest.mark.parametrize("case", (True, False))
def test_one_of_several_words_is_found_by_the_words_as_by_the_whole(case: bool) -> None:
    rng = random.Random(5)
    words = ["abc", "Abd", "foo", "BAR", "sky", "kxk", "é1z", "zap.", "qu*x"]
    parts = ["abc", "foo b", "bar", "zap", "abd.", "sky", "a.c", "[ab]c", "abc abc"]
    looked = 0
    for _ in range(300):
        lines = (" ".join(rng.choices(words, k=rng.randint(0, 5))) for _ in range(12))
        buffer = "".join(f"{line}\n" for line in lines).encode()
        pattern = Pattern.compile("|".join(rng.choices(parts, k=3)), regex=True, case=case)
        folded = bytearray(byte | 0x20 for byte in buffer) if pattern.folds else None
        found = pattern.through_needle(buffer, len(buffer), folded)
        if found is not None:
            looked += 1
            assert found == pattern.lines(buffer, len(buffer))
    assert looked > 50
