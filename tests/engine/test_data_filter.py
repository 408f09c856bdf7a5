"""The filter language, and everything that lists, counts, orders or replaces by it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.data import find
from engine.data.dataset import Dataset, Replace, open_dataset
from engine.data.filter import Context, FilterError, field, filter_rows, help_lines, parse
from engine.data.filter.language import EXAMPLES
from engine.data.find import Pattern, chunks, frequency, order, replace
from engine.data.find.replace import Skipped
from store import findings
from store.catalogue import Catalogue
from store.errors import BadInput

ROWS: list[object] = [
    {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Poodle"}]},
    {"messages": [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hi"}]},
    {"instruction": "Say it", "output": "a poodle", "n": 3, "source": "web", "a b": {"c.d": 1}},
    {"text": "plain \u00e9", "n": 12, "source": "book", "ok": True, "tags": ["x", "y"]},
    {"text": "", "n": "12", "source": None, "ok": False},
    "no object",
    {"text": "p\u006fodle spelled", "n": -1.5e3, "source": "web"},
]


@pytest.fixture
def data(cat: Catalogue, tmp_path: Path):  # type: ignore[no-untyped-def]
    lines = [json.dumps(row) for row in ROWS]
    lines[6] = '{"text": "p\\u006fodle spelled", "n": -1.5e3, "source": "web"}'
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(lines))
    with open_dataset(cat, file) as document:
        document.grow()
        yield document


def fitting(cat: Catalogue, data: Dataset, text: str, model: str | None = None) -> list[int]:
    wanted = parse(text)
    batches = filter_rows(data, wanted, Context.of(cat, data, wanted.needs, model))
    return [row for hits in batches for row in hits.rows]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("turns = 2", [1, 2, 3]),
        ("turns > 1 and not system", [1, 3]),
        ("system", [2]),
        ("assistant ~ /^poodle/i or user = Hi", [1, 2]),
        ("messages.0.content contains why", [1]),
        ("messages.*.content contains poodle", [1]),
        ("messages.-1.role = user", [2]),
        ("n > 2", [3, 4]),
        ("n = 12", [4, 5]),
        ("n = '12'", [5]),
        ("n < 0", [7]),
        ("n in (3, 12) and source != book", [3, 5]),
        ("source = null", [5]),
        ("source", [3, 4, 7]),
        ("not source", [1, 2, 5, 6]),
        ("ok = true", [4]),
        ("ok = false", [5]),
        ('"a b"."c.d" = 1', [3]),
        ('.text contains "é"', [4]),
        ("text contains poodle", [1, 3, 7]),
        ("(text contains poodle)", [1, 3, 7]),
        ("output endswith poodle", [3]),
        ("output startswith 'a p'", [3]),
        ("len(tags) = 2", [4]),
        ("tags contains y", [4]),
        ("bad", [6]),
        ("error contains 'no text' or error contains object", [6]),
        ("shape in (alpaca, messages)", [1, 2, 3]),
        ("roles = 'user assistant'", [1, 3]),
        ("chars:assistant > 6", [3]),
        ("turns:user = 1", [1, 2, 3]),
        ("row >= 3 and row < 5", [3, 4]),
        ("bytes < 30", [6]),
        ("raw ~ /c\\.d/", [3]),
        ("not (turns or bad)", [4, 5, 7]),
        ("not not system", [2]),
        ("edited or added", []),
    ],
)
def test_an_expression_finds_its_rows(
    cat: Catalogue, data: Dataset, text: str, rows: list[int]
) -> None:
    assert fitting(cat, data, text) == rows


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("turns >", 8),
        ("turns > x", 9),
        ("turns ~ /a/", 7),
        ("(a = 1", 7),
        ("a = 1 b = 2", 7),
        ("a = 1)", 6),
        ("assistant ~ /(x/", 14),
        ("a ~ /x/z", 8),
        ("a = 'x", 5),
        ("edited > 1", 8),
        ("and", 1),
        ("a in (1,", 9),
        ("a in 1", 6),
        ("chars:foo > 1", 1),
        ("a..b = 1", 1),
        ("a = 1 and\tb ^ 2", 13),
        ("(" * 200 + "a", 102),
    ],
)
def test_what_is_wrong_is_named_with_its_column(text: str, column: int) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text)
    assert caught.value.column == column
    assert f"column {column}:" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.pointed().split("\n")[1].index("^") == column - 1


def test_examples_are_expressions_and_help_names_every_field() -> None:
    for text, _ in EXAMPLES:
        parse(text)
    assert any("tokens" in line for line in help_lines())


def test_tags_of_several_files(cat: Catalogue, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(f'{{"text": "{name}1"}}\n{{"text": "{name}2"}}\n')
    with open_dataset(cat, f"{tmp_path}/a.jsonl,{tmp_path}/b.jsonl") as several:
        several.annotate([2, 3], add=["keep"])
        assert fitting(cat, several, "tag = keep") == [2, 3]


def test_what_is_not_in_the_row(cat: Catalogue, data: Dataset) -> None:
    data.annotate([2, 4], add=["keep"], note="see later")
    data.change([Replace(3, b'{"text": "new"}')], "one")
    data.insert(1, b'{"text": "added"}')
    assert fitting(cat, data, "edited") == [1, 4]
    assert fitting(cat, data, "added") == [1]
    assert fitting(cat, data, "tag = keep") == [3, 5]
    assert fitting(cat, data, "tag:keep and note contains later") == [3, 5]
    found = [findings.New(3, "duplicate", "warn", "as row 1"), findings.New(5, "cut", "warn", "")]
    findings.replace_all(cat, data.dataset_id, "test", "", found, moment=data.moment)
    data.delete(1)
    assert fitting(cat, data, "finding:duplicate") == [2]
    assert fitting(cat, data, "finding") == [2, 4]
    with pytest.raises(BadInput, match="no split is recorded"):
        fitting(cat, data, "part = train")


def test_tokens_are_those_of_the_renderer(cat: Catalogue, data: Dataset, starter: Path) -> None:
    from engine.render.renderer import Renderer

    renderer = Renderer.load(starter)
    sizes = {
        row.number: len(renderer.render_row(row).ids)
        for row in data.rows(1, data.count)
        if row.error is None
    }
    edge = sorted(sizes.values())[2]
    expected = [row for row, size in sizes.items() if size > edge]
    assert fitting(cat, data, f"tokens > {edge}", "starter") == expected
    with pytest.raises(BadInput, match="name one"):
        fitting(cat, data, "tokens > 1")


@pytest.mark.parametrize("seed", range(3))
def test_leaving_out_lines_unread_changes_nothing(
    cat: Catalogue, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at raw bytes that saves reading JSON gives what reading every row gives."""
    rng = random.Random(seed)
    monkeypatch.setattr(chunks, "CHUNK", 2000)
    words = ["poodle", "Poodle", "caf\u00e9", "blue sky", "x", "K", "sky"]
    lines = []
    for number in range(400):
        value = {"a": " ".join(rng.choices(words, k=2)), "b": number, "l": ["blue", "sky"]}
        line = json.dumps(value, ensure_ascii=rng.random() < 0.5)
        lines.append(line.replace("poo", "p\\u006fo") if number % 97 == 0 else line)
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(lines) + "\n")
    with open_dataset(cat, file) as data:
        for text in (
            "a contains poodle",
            "a contains Poodle",
            "a contains sky",
            "a = 'blue sky poodle' or a startswith 'poodle'",
            "a ~ /poo.*sky/ and b > 20",
            "l contains 'blue'",
            'l contains \'"blue","sky"\'',
            "a ~ /(?i)POODLE/",
            "not a contains poodle",
        ):
            found = fitting(cat, data, text)
            # The second half is true of no row, and keeps the raw look from being of use.
            assert found == fitting(cat, data, f"({text}) or b = nothing"), text


def test_frequency_is_exact_and_says_when_it_is_not(
    cat: Catalogue, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, table = frequency.frequency(data, field("source"), 10)
    assert [(v.value, v.count) for v in table.values] == [
        ("(nothing)", 3), ("web", 2), ("book", 1), ("null", 1),
    ]  # fmt: skip
    assert (table.rows, table.distinct, table.exact, table.progress) == (7, 4, True, 1.0)
    monkeypatch.setattr(frequency, "MOST", 50)
    rng = random.Random(1)
    values = [rng.choice(["often", "also"]) if rng.random() < 0.5 else str(rng.random())
              for _ in range(2000)]  # fmt: skip
    file = tmp_path / "b.jsonl"
    file.write_text("".join(json.dumps({"v": value}) + "\n" for value in values))
    with open_dataset(cat, file) as many:
        *_, table = frequency.frequency(many, field("v"), 2)
    assert not table.exact
    truth = Counter(values)
    assert {v.value for v in table.values} == {"often", "also"}
    for value in table.values:
        assert truth[value.value] - table.lost <= value.count <= truth[value.value]


def sorted_rows(cat: Catalogue, data: Dataset, key: str, reverse: bool = False) -> list[int]:
    asked = field(key)
    batches = order.order(data, asked, reverse, Context.of(cat, data, asked.needs, "starter"))
    return [row for hits in batches for row in hits.rows]


def test_rows_in_an_order(cat: Catalogue, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    by_bytes = sorted(range(1, 8), key=lambda row: len(data.raw(row)))
    assert sorted_rows(cat, data, "bytes") == by_bytes
    assert sorted_rows(cat, data, "n") == [7, 3, 4, 5, 1, 2, 6]
    assert sorted_rows(cat, data, "n", reverse=True) == [5, 4, 3, 7, 1, 2, 6]
    for few in (order.FEW, 0):
        monkeypatch.setattr(order, "FEW", few)
        assert sorted_rows(cat, data, "source") == [4, 3, 7, 1, 2, 5, 6]
        assert sorted_rows(cat, data, "source", reverse=True) == [3, 7, 4, 1, 2, 5, 6]
    assert sorted_rows(cat, data, "bad")[0] == 6
    assert sorted(sorted_rows(cat, data, "tokens")) == list(range(1, 8))


def plans(
    data: Dataset, words: str, new: str, **more: object
) -> tuple[list[replace.Plan], list[Skipped]]:
    skipped: list[Skipped] = []
    regex = bool(more.pop("regex", False))
    pattern = Pattern.compile(words, regex=regex, case=True)
    found = list(replace.plan(data, pattern, new, skipped=skipped, **more))  # type: ignore[arg-type]
    return found, skipped


def test_replacing_touches_texts_alone(cat: Catalogue, data: Dataset) -> None:
    found, skipped = plans(data, "poodle", 'cat "\u00e9"\n')
    assert [each.row for each in found] == [3, 7]
    assert not skipped
    assert found[0].edits[0].path == "output"
    assert json.loads(found[0].raw) == {**ROWS[2], "output": 'a cat "\u00e9"\n'}  # type: ignore[dict-item]
    # Numbers are as they were written, and so is all the rest.
    assert b'spelled", "n": -1.5e3, "source": "web"}' in found[1].raw
    data.change([each.change for each in found], "replace")
    assert fitting(cat, data, "text contains cat") == [3, 7]
    data.undo()
    assert fitting(cat, data, "edited") == []
    assert not plans(data, "source", "x")[0], "keys stay"
    assert [each.row for each in plans(data, "e", "E", rows=[3, 4, 7])[0]] == [3, 7]
    assert [each.row for each in plans(data, "e", "E", fields=["messages.*.role"])[0]] == [1, 2]


def test_groups_of_a_pattern(data: Dataset) -> None:
    found, _ = plans(data, r"(?P<first>p)(oo)", "$2${first}$$$1", regex=True)
    assert [edit.after for edit in found[0].edits] == ["a oop$pdle"]
    with pytest.raises(BadInput, match="no group `3`"):
        plans(data, "(a)", "$3", regex=True)
    found, _ = plans(data, "poodle", "$1")
    assert found[0].after == "a $1", "words are words"
    found, _ = plans(data, "x*", "-", regex=True)
    assert "-W-h-y-" in found[0].after


@pytest.mark.parametrize("seed", range(4))
def test_a_row_stays_json_whatever_is_replaced(cat: Catalogue, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    alphabet = ['"', "\\", "a", "b", "\n", "\u00e9", "\U0001f600", "/", "{", "]", ","]

    def text() -> str:
        return "".join(rng.choices(alphabet, k=rng.randint(0, 12)))

    def changed(value: object, change: Callable[[str], str]) -> object:
        if isinstance(value, dict):
            return {key: changed(inner, change) for key, inner in value.items()}
        if isinstance(value, list):
            return [changed(inner, change) for inner in value]
        return change(value) if isinstance(value, str) else value

    rows = [{text() + str(n): [text(), {"k": text(), "n": n}], "t": text()} for n in range(60)]
    file = tmp_path / "a.jsonl"
    file.write_text(
        "".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) + "\n" for row in rows)
    )
    with open_dataset(cat, file) as data:
        for _ in range(10):
            old, new = text()[:2] or "a", text()
            found = {each.row: each.raw for each in plans(data, old, new)[0]}
            for number, row in enumerate(rows, 1):
                wanted = changed(row, lambda value, o=old, n=new: value.replace(o, n))  # type: ignore[misc]
                assert json.loads(found.get(number, data.raw(number))) == wanted


def test_bad_rows_with_the_words_are_named(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "dog"\nnot dog\n{"text": "cat"}\n{"text": "a\xffdog"}\n')
    with open_dataset(cat, file) as data:
        found, skipped = plans(data, "dog", "cow")
        assert not found
        assert [each.row for each in skipped] == [1, 2, 4]
        assert list(find.search(data, Pattern.compile("dog")))[-1].progress == 1.0
