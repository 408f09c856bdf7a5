"""`workbench chats` and `workbench prompts`, as a person and a program use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.data.rows import parse_row
from store import chats, library
from store.catalogue import Catalogue
from store.workspace import Workspace
from workbench import cli

HOSTILE = "fox \x1b]52;c;aGk=\x07\u202e[red]"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A workspace with one chat of two branches."""
    root = tmp_path / "home"
    with Catalogue.open(Workspace(root)) as cat:
        chat = chats.create(cat, title=HOSTILE)
        drawn = {"temperature": 0.7, "top_k": 40, "seed": 3, "max_tokens": 64}
        first = chats.ask(cat, chat.id, HOSTILE, system="Be kind.", models=("starter", "run:1"))
        for column, model, text in (
            ("A", "starter", "Red."),
            ("B", "run:1@40", f"Good! {HOSTILE}"),
        ):
            chats.answer(cat, first.id, text, column=column, model=model, tokens=2,
                         stop="turn end", sampling=drawn)  # fmt: skip
        old = chats.ask(cat, chat.id, "Why?", after=first.id, system="Be kind.")
        chats.answer(cat, old.id, "Fur", column="A", model="starter", stop=chats.DIED)
        chats.ask(cat, chat.id, "Where?", after=first.id)
        chats.create(cat, title="another")
    return root


def run(home: Path, *words: str, fails: str = "") -> str:
    """What a command prints; or, where it is to fail, that it says this."""
    from store.errors import WorkbenchError

    arguments = [words[0], *words[1:], "--workspace", str(home)]
    done = CliRunner().invoke(cli.app, arguments)
    if fails:
        assert isinstance(done.exception, WorkbenchError)
        assert fails in f"{done.exception.message} {done.exception.hint}"
        return ""
    assert done.exit_code == 0, done.output
    return done.stdout


def test_chats_are_listed_found_shown_and_taken_away(home: Path, tmp_path: Path) -> None:
    told = json.loads(run(home, "chats", "--json"))
    assert [(one["id"], one["questions"]) for one in told["chats"]] == [(2, 0), (1, 3)]
    found = json.loads(run(home, "chats", "--find", "FUR kind", "--json"))
    assert (found["found"], found["chats"]) == (0, [])
    found = json.loads(run(home, "chats", "--find", "fur", "--json"))
    assert [(one["id"], one["passage"]) for one in found["chats"]] == [(1, "Fur")]
    for words in (("chats",), ("chats", "--find", "good!"), ("chats", "show", "1")):
        shown = run(home, *words)
        assert "fox ␛]52;c;aGk=␇" in shown
        assert not set(shown) & {"\x1b", "\x07", "\u202e"}
    assert "No chat has 'zebra'" in run(home, "chats", "--find", "zebra")

    told = json.loads(run(home, "chats", "show", "1", "--json"))
    (branch,) = told["branches"]
    assert [step["question"] for step in branch] == [HOSTILE, "Where?"]
    assert branch[0]["answers"][1]["sampling"]["top_k"] == 40
    assert len(json.loads(run(home, "chats", "show", "1", "--all", "--json"))["branches"]) == 2

    out = tmp_path / "chat.jsonl"
    run(home, "chats", "export", "1", "--all", "--out", str(out))
    lines = out.read_bytes().splitlines()
    assert [json.loads(line)["column"] for line in lines] == ["A", "B", "A", "B"]
    row = parse_row(1, lines[0])
    assert row.error is None
    assert [(turn.role, turn.text) for turn in row.turns] == [
        ("system", "Be kind."),
        ("user", HOSTILE),
        ("assistant", "Red."),
        ("user", "Why?"),
        ("assistant", "Fur"),
    ]
    page = tmp_path / "chat.md"
    run(home, "chats", "export", "1", "--out", str(page))
    text = page.read_text()
    assert text.startswith("# fox ␛]52")
    assert "### B · run:1@40\n\nGood! fox \x1b]52" in text
    assert "*2 tokens · temperature 0.7 · top_k 40 · seed 3 · turn end*" in text
    run(home, "chats", "export", "1", "--out", str(page), fails="is there already")
    run(home, "chats", "export", "1", "--out", str(tmp_path / "x.txt"), fails=".md or .jsonl")
    run(home, "chats", "export", "1", "--format", "pdf", fails="expected md or jsonl")
    run(home, "chats", "export", "2", fails="no answer in it")
    run(home, "chats", "rename", "1", "Foxes")
    assert "Foxes" in run(home, "chats")
    run(home, "chats", "delete", "1")
    run(home, "chats", "show", "1", fails="`workbench chats` lists")


def test_prompts_are_kept_and_given_back(home: Path) -> None:
    run(home, "prompts", "keep", "explain", f"Explain {HOSTILE}")
    run(home, "prompts", "keep", "kind", "Be kind.", "--kind", "system")
    run(home, "prompts", "keep", "mine", "temperature=0.4 min_p=0.1", "--kind", "preset")
    run(home, "prompts", "keep", "explain", "other", fails="--replace")
    run(home, "prompts", "keep", "greedy", "temperature=1", "--kind", "preset", fails="shipped")
    run(home, "prompts", "keep", "p", "heat=1", "--kind", "preset", fails="Keys are temperature")
    run(home, "prompts", "keep", "p", "top_p=7", "--kind", "preset", fails="out of bounds")
    listed = run(home, "prompts")
    assert "\x1b" not in listed
    assert "mine       temperature 0.4 · min_p 0.1" in listed
    assert "untouched" in listed
    assert run(home, "prompts", "show", "explain") == f"Explain {HOSTILE}\n"
    assert json.loads(run(home, "prompts", "show", "mine", "--kind", "preset", "--json"))["text"]
    run(home, "prompts", "rename", "explain", "say")
    run(home, "prompts", "show", "explain", fails="There are: say.")
    assert "deleted say: Explain fox ␛" in run(home, "prompts", "delete", "say")
    run(home, "prompts", "show", "x", "--kind", "poem", fails="expected prompt, system or preset")
    with Catalogue.open(Workspace(home)) as cat:
        assert [one.name for one in library.all(cat)] == ["mine", "kind"]


def test_a_preset_gives_way_to_what_is_said(home: Path) -> None:
    from engine.chat import presets
    from engine.chat.client import Sampling
    from workbench.commands.chat import _preset

    with Catalogue.open(Workspace(home)) as cat:
        presets.keep(cat, "mine", {"temperature": 0.5, "top_k": 20, "max_tokens": 99, "seed": 4})
        assert _preset(cat, "mine", Sampling(seed=7)) == Sampling(99, 0.5, 1.0, 7, 20)
        assert _preset(cat, "mine", Sampling(top_k=5)).top_k == 5
        assert presets.called(cat, {"temperature": 0.5, "top_k": 20, "max_tokens": 99}) == "mine"
        assert presets.called(cat, {"temperature": 0.5}) == ""
    run(home, "chat", "--model", "starter", "--prompt", "x", "--preset", "hot", fails="untouched")
