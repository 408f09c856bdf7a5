"""Suites, kinds, intervals and patterns: what passes, and how broken files are met."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.checks import patterns, suite
from engine.checks.kinds import Check
from store.errors import BadInput, NotFound

GOOD = """\
name = "t"
max_tokens = 5

[lists]
praise = ["Well done!"]

[[group]]
name = "one"
prompts = ["a", {prompt = "b", system = "s", expect = "x"}]

[[group.check]]
kind = "first_sentence_one_of"
list = "praise"

[[group.check]]
kind = "stops"

[[group]]
name = "two"
prompts_file = "two.jsonl"

[[group.check]]
kind = "contains"
value = "<{expect}>"
ignore_case = true
"""


def _write(tmp_path: Path, text: str, rows: str = '{"prompt": "p", "expect": "e"}\n') -> str:
    (tmp_path / "two.jsonl").write_text(rows)
    path = tmp_path / "t.toml"
    path.write_text(text)
    return str(path)


def test_a_suite_is_read_whole(tmp_path: Path) -> None:
    read = suite.load(_write(tmp_path, GOOD))
    assert (read.name, read.max_tokens, read.size) == ("t", 5, 3)
    assert read.groups[0].prompts[1] == suite.Prompt("b", "s", "x")
    assert read.groups[0].checks[0].values == ("Well done!",)
    assert read.groups[1].checks[0] == Check("contains", ("<{expect}>",), True)
    other = suite.load(_write(tmp_path, GOOD, '{"prompt": "p", "expect": "f"}\n'))
    assert other.sha256 != read.sha256


@pytest.mark.parametrize("name", suite.names())
def test_shipped_suites_are_sound(name: str) -> None:
    read = suite.load(name)
    assert read.name == name
    assert read.description
    assert read.size >= 50


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "t"', 'name = "t', "not TOML"),
        ('name = "t"', 'name = "t"\nlevel = 3', "level: expected only"),
        ("max_tokens = 5", "max_tokens = 0", "line 2: max_tokens: expected a whole number"),
        ("max_tokens = 5", "max_tokens = true", "line 2: max_tokens"),
        ('praise = ["Well done!"]', "praise = []", r"line 5: lists\.praise"),
        ('list = "praise"', 'list = "prize"', r"line 13: group\[1\]\.check\[1\]\.list"),
        ('list = "praise"', "", "expected list, values or value"),
        ('list = "praise"', 'list = "praise"\nvalue = "x"', "only one of list, values, value"),
        (
            'kind = "stops"',
            'kind = "halts"',
            r"line 16: group\[1\]\.check\[2\]\.kind: expected one",
        ),
        ('kind = "stops"', 'kind = "stops"\nvalue = "x"', "no values"),
        ('kind = "stops"', 'kind = "regex"\nvalue = "("', "a regular expression"),
        ('kind = "contains"', 'kind = "equals"\nignore = 1', "ignore: expected only"),
        ("ignore_case = true", "ignore_case = 1", "true or false"),
        ('"two.jsonl"', '"three.jsonl"', r"line 20: group\[2\]\.prompts_file: expected the name"),
        ('"two.jsonl"', '"../../etc/passwd"', "beside the suite"),
        ('expect = "x"', "expect = 3", r"prompts\[2\]\.expect: expected a text, not '3'"),
        ('name = "two"', 'name = "one"', "line 19: group.2..name: expected a name of its own"),
        ('prompts = ["a",', 'prompts = ["",', r"prompts\[1\]\.prompt"),
    ],
)
def test_broken_suites_name_line_key_and_expectation(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in GOOD
    path = _write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(BadInput, match=told) as bad:
        suite.load(path)
    assert path in bad.value.message
    assert bad.value.hint


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ('{"prompt": "p", "expect": "e"}\nnope\n', "two.jsonl, line 2: not JSON"),
        ('{"prompt": "p"}\n', "`expect` on every prompt"),
        ('\n{"text": "p"}\n', "two.jsonl, line 2: the row.text"),
        ("[" * 50_000, "two.jsonl, line 1: not JSON"),
        ("", "at least one prompt"),
    ],
)
def test_broken_prompt_files_name_their_line(tmp_path: Path, rows: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        suite.load(_write(tmp_path, GOOD, rows))


def test_a_suite_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="neither a shipped suite nor a file") as missing:
        suite.load("no-such")
    assert "habit" in missing.value.hint


def test_a_hostile_pattern_is_an_error_not_a_hang() -> None:
    bomb, text = "(a+)+$", "a" * 60 + "b"
    found = patterns.search([(bomb, text, False), ("b$", text, False)])
    assert found == {(bomb, text, False): None, ("b$", text, False): True}
    assert patterns.problem("x" * 2000) is not None
