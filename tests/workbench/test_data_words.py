"""What `workbench data` says to someone who mistypes, and that it counts what it says."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import assets
from workbench.cli import main

ROWS = [
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]},
    {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "And you?"},
            {"role": "assistant", "content": "I am well, and I hope that you are."},
        ]
    },
]
Ask = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """A command as words -> exit code, standard output, standard error."""
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "ws"))

    def asked(line: str) -> tuple[int, str, str]:
        words = line.replace("FILE", "a.jsonl").split(" ")
        monkeypatch.setattr(sys, "argv", ["workbench", "data", *words])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return int(str(left.value.code)), said.out, said.err

    return asked


def test_the_list_of_commands_breaks_off_no_sentence(ask: Ask) -> None:
    _, out, _ = ask("--help")
    assert "...\n" not in out.split("Commands:")[1]
    assert "unsaved edits included." in " ".join(out.split())


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("filter FILE asistant.text~/x/", "asistant.text"),
        ("filter FILE len(mesages)>1", "len(mesages)"),
        ("sort FILE sorce", "sorce"),
        ("replace FILE Hello Bye --field messages.*.text", "messages.*.text"),
    ],
)
def test_a_path_that_leads_nowhere_is_said(ask: Ask, line: str, path: str) -> None:
    code, out, _ = ask(line)
    assert code == 0 and out.endswith(f"no row has `{path}`\n")
    assert json.loads(ask(line + " --json")[1])["missing"] == [path]


def test_a_path_that_is_there_is_not_accused(ask: Ask) -> None:
    for line in ("filter FILE messages.2.content~/nothing/", "sort FILE messages.2.content"):
        assert "no row has" not in ask(line)[1]


@pytest.mark.parametrize(
    "line",
    ["filter FILE finding:bogus", "filter FILE finding=bogus", "sort FILE finding:bogus"],
)
def test_a_kind_of_finding_that_is_none_is_an_error(ask: Ask, line: str) -> None:
    code, out, err = ask(line)
    assert (code, out) == (2, "") and "bogus: not a kind of finding" in err and "duplicate" in err


def test_a_wrong_expression_is_two_lines_where_no_one_looks_on(ask: Ask) -> None:
    for flag in ("", " --json"):
        code, out, err = ask("filter FILE turns>" + flag)
        assert (code, out, err.count("\n")) == (2, "", 2) and "column 7" in err


def test_sorting_shows_by_what(ask: Ask) -> None:
    _, out, _ = ask("sort FILE chars:assistant -r --limit 1")
    assert re.search(r"^ +2 +35 +messages", out, re.MULTILINE)
    found: dict[str, Any] = json.loads(ask("sort FILE chars:assistant -r --json")[1])
    assert found["first"] == [{"row": 2, "value": 35}, {"row": 1, "value": 6}]
    assert ask("sort FILE turns")[1].splitlines()[0].split()[:3] == ["row", "turns", "shape"]


def test_what_is_converted_is_counted_apart_from_what_is_left_out(ask: Ask) -> None:
    _, out, _ = ask("convert FILE --to prompt_completion --out b.jsonl --leave-out")
    assert out.startswith("1 of 2 rows to prompt_completion")
    assert "1 left out" in out


def test_a_row_that_is_no_json_says_where(ask: Ask) -> None:
    code, _, err = ask('set FILE --row 1 --raw {"text":')
    assert code == 2 and "line 1, column 9" in err


def test_dropped_edits_are_counted_with_those_that_found_no_place(ask: Ask) -> None:
    ask("set FILE --row 1 --set messages.1.content=Howdy.")
    rows = Path("a.jsonl").read_text().splitlines(keepends=True)
    Path("a.jsonl").write_text(rows[1])
    assert ask("save FILE")[0] == 2
    assert "found no place" in ask("save FILE --merge")[1]
    dropped = json.loads(ask("save FILE --theirs --json")[1])
    assert dropped == {"path": str(Path("a.jsonl").resolve()), "discarded": 1}
    assert ask("discard nowhere.jsonl")[0] == 2


def test_a_version_that_is_none_names_the_file(ask: Ask) -> None:
    code, _, err = ask("restore FILE --version 99")
    assert code == 2 and "a.jsonl: there is no version 99" in err
    assert "workbench data versions" in err


def test_findings_say_when_there_are_more(ask: Ask) -> None:
    ask("preflight FILE --max-length 3")
    assert "--limit lists more" in ask("findings FILE --limit 1")[1]
    assert "--limit lists more" not in ask("findings FILE")[1]


def test_a_small_file_costs_no_heavy_module(ask: Ask, tmp_path: Path) -> None:
    heavy = "torch", "transformers", "textual", "datasets", "trl", "pyarrow", "pandas"
    code = (
        "import sys\n"
        "sys.argv = ['workbench', 'data', 'info', 'a.jsonl']\n"
        "from workbench.cli import main\n"
        "try: main()\n"
        f"finally: print([m for m in {heavy!r} if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path)
    assert done.stdout.decode().splitlines()[-1] == "[]", done.stderr


def test_findings_count_the_rows_that_are_left(ask: Ask) -> None:
    Path("a.jsonl").write_text((json.dumps(ROWS[0]) + "\n") * 3)
    ask("preflight FILE")
    assert json.loads(ask("findings FILE --json")[1])["counts"] == {"duplicate": 2}
    ask("delete FILE --row 2")
    assert json.loads(ask("findings FILE --json")[1])["counts"] == {"duplicate": 1}
    assert ask("fix FILE --kind duplicate --row 9")[0] == 2
    assert "duplicate in row 1 is known" in ask("fix FILE --kind duplicate --row 1")[1]


def test_nothing_written_has_no_hash(ask: Ask) -> None:
    Path("b.jsonl").write_text(json.dumps(ROWS[1]) + "\n")
    assert json.loads(ask("save FILE,b.jsonl --json")[1])["sha256"] is None
    ask("delete FILE,b.jsonl --row 1")
    found = json.loads(ask("save FILE,b.jsonl --json")[1])
    assert found["edits"] == 1
    assert found["sha256"] == hashlib.sha256(Path("a.jsonl").read_bytes()).hexdigest()


def test_help_names_the_shipped_recipes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["workbench", "train", "--help"])
    with pytest.raises(SystemExit):
        main()
    said = " ".join(capsys.readouterr().out.split())
    for path in assets.path("recipes").glob("*.toml"):
        assert path.stem in said.replace("- ", "-")


def test_the_hint_fits_what_is_wrong(ask: Ask) -> None:
    Path("a.jsonl").write_text('{"messages":\n' + json.dumps(ROWS[0]) + "\n")
    assert "--raw JSON" in ask("set FILE --row 1 --set messages.0.content=x")[2]
    assert "key that exists" in ask("set FILE --row 2 --set text=x")[2]


def test_a_fix_that_changes_nothing_offers_nothing(ask: Ask) -> None:
    Path("a.jsonl").write_text('{"messages":[{"role":"user","content":"Hi"}]}\n')
    ask("preflight FILE")
    said = ask("fix FILE --kind unanswered")[1]
    assert "left as it is" in said and said.endswith("nothing would change\n")
    assert ask("preflight FILE --strict --json")[0] == 1
