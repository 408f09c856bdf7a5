"""Where prompts come from and how suites are written: tables, held-out rows, YAML, promptfoo."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.checks import suite
from engine.checks.kinds import REFUSALS, Check
from store.errors import BadInput

YAML = """\
name: y
lists:
  praise: [Well done!]
group:
  - name: one
    prompts:
      - Say it.
      - {prompt: Hi, system: Be kind., weight: 2, tags: [x]}
    check:
      - {kind: first_sentence_one_of, list: praise, unless: refuses}
      - kind: json_schema
        schema: {type: object, required: [a]}
"""


def _load(tmp_path: Path, name: str, text: str, **files: str) -> suite.Suite:
    for other, content in files.items():
        (tmp_path / other.replace("_", ".")).write_text(content)
    path = tmp_path / name
    path.write_text(text)
    return suite.load(str(path))


def _group(more: str, check: str = 'kind = "stops"') -> str:
    return f'[[group]]\nname = "g"\n{more}\n[[group.check]]\n{check}\n'


def test_yaml_is_the_same_format(tmp_path: Path) -> None:
    read = _load(tmp_path, "y.yaml", YAML)
    group = read.groups[0]
    assert (read.name, read.size, group.prompts[1].weight, read.tags) == ("y", 2, 2.0, ["x"])
    assert group.checks[0].unless == Check("refuses", REFUSALS)
    assert '"required": ["a"]' in group.checks[1].schema


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("list: praise, unless", "list: prize, unless", r"line 10: group\[1\]\.check\[1\]\.list"),
        ("kind: json_schema", "kind: halts", r"line 11: group\[1\]\.check\[2\]\.kind: expected"),
        ("required: [a]", "format: date", r"line 12: .*the keyword 'format' is not supported"),
        ("weight: 2", "weight: 0", r"line 8: group\[1\]\.prompts\[2\]\.weight"),
        ("weight: 2", "weight: !!python/object:os.system x", "line 8.*a text, a number"),
        ("Say it.", "yes", r"line 7: group\[1\]\.prompts\[1\]: expected a text"),
        ("name: y", "name: y\nname: z", "line 2: name: expected each key once"),
        ("name: y", "name: [y", "line 2: not YAML"),
        ("name: y", "name: y\nx: &a [*a]", "at most 200,000 values, 50 deep"),
        ("name: one", "<<: {name: one}", "none merged"),
        ("unless: refuses", "unless: contains", r"unless: expected list, values or value"),
        ("unless: refuses", "unles: refuses", r"line 10: group\[1\]\.check\[1\]\.unles: expected"),
        ("unless: refuses", "min: 3", r"check\[1\]\.min: expected only"),
    ],
)
def test_broken_yaml_names_line_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in YAML
    with pytest.raises(BadInput, match=told):
        _load(tmp_path, "y.yaml", YAML.replace(old, new))


def test_yaml_bombs_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 9):
        lines.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]")
    with pytest.raises(BadInput, match="at most 200,000 values"):
        _load(tmp_path, "bomb.yaml", "\n".join(lines))
    with pytest.raises(BadInput, match="not YAML"):
        _load(tmp_path, "bomb.yaml", "[" * 5000)


def test_the_example_of_the_readme_is_a_suite(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    text = "[[group]]" + readme.split("```\n[[group]]", 1)[1].split("```", 1)[0]
    csv = "task,command\nlist files,ls\n"
    group = _load(tmp_path, "own.toml", text, tasks_csv=csv).groups[0]
    assert group.prompts[0].text == "How do I list files?"
    assert [check.kind for check in group.checks] == ["starts_with_one_of", "contains"]


def test_a_table_fills_templates(tmp_path: Path) -> None:
    text = _group(
        'prompt = ["Translate {word}.", "{word}?"]\ntable = "words.csv"\n'
        'system = "You know {word}."\nexpect = "{it}!"',
        'kind = "contains"\nvalues = ["{expect}", "{it}"]',
    )
    csv = 'word,it\ncat,gatto\n"dog, big","cane\ngrande"\n'
    prompts = _load(tmp_path, "t.toml", text, words_csv=csv).groups[0].prompts
    assert [p.text for p in prompts] == [
        "Translate cat.",
        "Translate dog, big.",
        "cat?",
        "dog, big?",
    ]
    assert (prompts[1].expect, prompts[1].system) == ("cane\ngrande!", "You know dog, big.")
    assert [p.cluster for p in prompts] == ["0.0", "0.0", "", ""]
    rows = '{"word": "cat", "it": "gatto"}\n{"word": 3, "it": "tre"}\n'
    json = _load(tmp_path, "t.toml", text.replace("words.csv", "w.jsonl"), w_jsonl=rows)
    assert json.groups[0].prompts[1].text == "Translate 3."


@pytest.mark.parametrize(
    ("csv", "told"),
    [
        ("a,b\n1,2\n", r"t\.toml, line 3: .*\.prompt: expected columns of the table \(a, b\), not"),
        ("word\ncat,dog\n", r"words\.csv, line 2: the row: expected 1 columns, not '2'"),
        ("word,word\na,b\n", r"words\.csv, line 1: the row: expected a name for each column"),
        ('word\n"cat\n', r"words\.csv, line 2: not CSV"),
        ("word\n", r"line 1: group\[1\]: expected at least one prompt"),
    ],
)
def test_broken_tables_name_their_line(tmp_path: Path, csv: str, told: str) -> None:
    text = _group('prompt = "Translate {word}."\ntable = "words.csv"')
    with pytest.raises(BadInput, match=told):
        _load(tmp_path, "t.toml", text, words_csv=csv)


def test_held_out_rows_ask_and_expect(tmp_path: Path) -> None:
    text = _group(
        'dataset = "habit.heldout"\nn = 5\nseed = 3',
        'kind = "similar"\nvalue = "{expect}"\nmin = 0.5',
    )
    read = _load(tmp_path, "d.toml", text)
    assert read.size == 5
    assert all(prompt.expect for _, prompt in read.asked)
    assert read.files == (tmp_path / "d.toml",), "what is shipped needs no copy"
    assert _load(tmp_path, "d.toml", text).groups == read.groups
    assert _load(tmp_path, "d.toml", text.replace("3", "4")).groups != read.groups
    rows = (
        '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, '
        '{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, '
        '{"role": "assistant", "content": "d"}]}\n'
    )
    own = _load(tmp_path, "d.toml", _group('dataset = "mine.jsonl"'), mine_jsonl=rows)
    prompt = own.groups[0].prompts[0]
    assert (prompt.text, prompt.system, prompt.expect) == ("c", "s", "d")
    assert [turn.text for turn in prompt.turns] == ["s", "a", "b", "c"]
    assert own.files[1].name == "mine.jsonl"
    for more, told in (
        ('dataset = "no.heldout"', "habit.heldout"),
        ('dataset = "mine.jsonl"\nn = 2', "at most the 1 rows"),
        ('prompts = ["a"]\nn = 2', "a `dataset` that it is about"),
        ('prompts = ["a"]\nsystem = "x"', "a `table`"),
    ):
        with pytest.raises(BadInput, match=told):
            _load(tmp_path, "d.toml", _group(more))


PROMPTFOO = """\
description: mine
providers: [openai:gpt-4]
prompts:
  - Translate {{word}} to {{ language }}.
  - Say {{word}}.
defaultTest:
  vars: {language: Italian}
  assert:
    - type: not-is-refusal
tests:
  - description: cat
    vars: {word: cat}
    assert:
      - {type: icontains-any, value: "gatto, felino"}
      - {type: not-contains, value: "{{word}}"}
      - type: is-json
        value: {type: string}
      - {type: word-count, value: {max: 3}}
  - vars: {word: dog, language: German}
    assert:
      - {type: regex, value: "^H", metric: starts}
"""


def test_the_deterministic_part_of_promptfoo_is_read(tmp_path: Path) -> None:
    read = _load(tmp_path, "p.yaml", PROMPTFOO)
    cat, dog = read.groups
    assert [p.text for p in cat.prompts] == ["Translate cat to Italian.", "Say cat."]
    assert dog.prompts[0].text == "Translate dog to German."
    assert [c.kind for c in cat.checks] == ["refuses", "contains", "contains", "json", "length"]
    assert cat.checks[0].negate
    assert (cat.checks[1].values, cat.checks[1].ignore_case) == (("gatto", "felino"), True)
    assert (cat.checks[2].values, cat.checks[2].negate) == (("cat",), True)
    assert (cat.checks[4].low, cat.checks[4].high) == (None, 3)
    assert dog.checks[1].title == "starts"
    assert read.notes == ("providers: without effect here",)


def test_what_promptfoo_can_and_we_cannot_is_named_all_at_once(tmp_path: Path) -> None:
    text = PROMPTFOO.replace("type: word-count, value: {max: 3}", "type: llm-rubric, value: nice")
    text = text.replace("metric: starts", "threshold: 0.5").replace("word: dog", "word: [a, b]")
    text = text.replace("description: mine", "scenarios: []").replace(
        "to {{ language }}", "{% if a %}"
    )
    with pytest.raises(BadInput) as bad:
        _load(tmp_path, "p.yaml", text)
    for said in (
        "line 1: scenarios",
        "line 18: tests[1].assert[4].type llm-rubric",
        "threshold",
        "tests[2].vars.word a list",
        "Nunjucks beyond {{name}}",
    ):
        assert said in bad.value.message
    with pytest.raises(BadInput, match=r"line 15.*variables among language"):
        _load(tmp_path, "p.yaml", PROMPTFOO.replace("vars: {word: cat}", "vars: {}"))
