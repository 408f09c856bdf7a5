"""A row spread over lines and folded back: only what was written changes."""

from __future__ import annotations

import json
import random

import pytest

from engine.data.row.pretty import decoded, encoded, fold, problem, spread

ROW = (
    b'{"messages": [{"role":"user", "content": "a [1, 2] \\u00e9 \\"q\\" , {x}"}], '
    b'"ids": [1, 2.50, 1e400], "none": {}, "big": 12345678901234567890123}'
)


def test_a_row_is_spread_and_its_spelling_kept() -> None:
    written = spread(ROW)
    assert written.splitlines()[:5] == [
        "{",
        '  "messages": [',
        "    {",
        '      "role": "user",',
        '      "content": "a [1, 2] \\u00e9 \\"q\\" , {x}"',
    ]
    assert '  "ids": [1, 2.50, 1e400],' in written
    assert '  "none": {},' in written
    assert "12345678901234567890123" in written
    assert fold(written, ROW) == ROW


def test_only_what_was_written_changes() -> None:
    written = spread(ROW).replace('"user"', '"Jürgen"').replace("2.50", "2.5")
    new = ROW.replace(b'"user"', b'"J\\u00fcrgen"').replace(b"2.50", b"2.5")
    assert fold(written, ROW) == new
    compact = b'{"a":{"b":[1,2]},"c":"\xc3\xa9"}'
    assert fold('{"a": {"b": [1, 2]}, "c": "é", "d": {"e": "ü"}}', compact) == (
        compact[:-1] + ',"d":{"e":"ü"}}'.encode()
    )
    assert fold('{\n "c": "é"\n}', compact) == b'{"c":"\xc3\xa9"}'


@pytest.mark.parametrize("seed", range(60))
def test_any_row_comes_back_byte_for_byte_and_changes_in_its_own_style(seed: int) -> None:
    rnd = random.Random(seed)

    def value(depth: int) -> object:
        kinds = 7 if depth < 4 else 4
        return [
            lambda: rnd.randrange(-9, 999),
            lambda: rnd.choice(["é", '["x"]', "\u2028\n", "", 'a"b\\']),
            lambda: rnd.choice([None, True, False]),
            lambda: rnd.random(),
            lambda: [value(depth + 1) for _ in range(rnd.randrange(4))],
            lambda: {str(key): value(depth + 1) for key in range(rnd.randrange(4))},
            lambda: {"k": [value(depth + 1)]},
        ][rnd.randrange(kinds)]()

    row = {"a": value(0), "b": {"c": [value(0), 1]}}
    separators = rnd.choice([(", ", ": "), (",", ":")])
    plain = rnd.choice([True, False])
    raw = json.dumps(row, separators=separators, ensure_ascii=plain).encode()
    written = spread(raw)
    assert json.loads(written) == row
    assert fold(written, raw) == raw
    changed = {**row, "a": value(0), "d": value(0)}
    new = fold(json.dumps(changed, indent=3, ensure_ascii=False), raw)
    assert json.loads(new) == changed
    assert b"\n" not in new
    if not plain:
        assert new == json.dumps(changed, separators=separators, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("written", "place", "expected"),
    [
        ('{"a" 1}', (1, 6), "`:`"),
        ('{\n  "a": 1\n  "b": 2\n}', (3, 3), "`,`"),
        ('{"a": "x\ny"}', (1, 9), "\\n"),
        ('{"a": "\\q"}', (1, 8), "\\uXXXX"),
        ('{"a": 1} x', (1, 10), "nothing after"),
        ('{"a": "x', (1, 7), "closing quote"),
        ("", (1, 1), "JSON object"),
        ('{"a": }', (1, 7), "a value"),
        ('{"a": "\udcff"}', (1, 8), "UTF-8"),
        ("[" * 100_000, (1, 1), "nested"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    written: str, place: tuple[int, int], expected: str
) -> None:
    wrong = problem(written)
    assert wrong is not None
    assert (wrong.line, wrong.column) == place
    assert expected in wrong.expected
    assert wrong.words.startswith(f"line {place[0]}, column {place[1]}: ")


def test_bytes_that_are_no_text_come_back_as_they_are() -> None:
    raw = b'{"text": "caf\xe9", nonsense \x00'
    assert encoded(decoded(raw)) == raw
    assert spread(raw) == decoded(raw)
    assert fold(spread(raw), raw) == raw
    assert fold("a\nb", raw) == b"a b"
