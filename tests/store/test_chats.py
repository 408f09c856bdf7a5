"""Chats: branches that overwrite nothing, two writers at once, finding words, old catalogues."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest

from store import chatlist, chats, library
from store.catalogue import Catalogue
from store.chats import Turn
from store.errors import BadInput, Conflict, NotFound
from store.rounds import Tree
from store.workspace import Workspace

HOSTILE = "\x1b]52;c;aGk=\x07[@click=app.quit]\u202e\x00 \ud83d"


def said(cat: Catalogue, question: Turn, *texts: str) -> list[Turn]:
    return [
        chats.answer(cat, question.id, text, column=column, model="starter", stop="turn end")
        for column, text in zip("AB", texts, strict=False)
    ]


def test_a_chat_keeps_columns_side_by_side(cat: Catalogue) -> None:
    chat = chats.create(cat, title=HOSTILE, system="be kind", sampling={"temperature": 0.0})
    assert chats.get(cat, chat.id) == chat
    question = chats.ask(cat, chat.id, HOSTILE, system="be kind", models=("starter", "run:1"))
    drawn = {"temperature": 0.7, "top_k": 40, "seed": 3}
    one = chats.answer(cat, question.id, "yes \ud83d", column="A", model="starter", tokens=2,
                       seconds=0.5, first_token_seconds=0.1, stop="turn end", sampling=drawn,
                       place="cpu float32")  # fmt: skip
    half = chats.answer(cat, question.id, "ye", column="B", model="run:1@40", stop=chats.DIED)
    after = chats.ask(cat, chat.id, "and?", after=question.id)
    found = chats.turns(cat, chat.id)
    assert found == [question, one, half, after]
    assert [(turn.position, turn.column) for turn in found] == [(0, None), (1, "A"), (1, "B"),
                                                                (2, None)]  # fmt: skip
    assert (one.sampling, one.seed, one.place, half.stop) == (drawn, 3, "cpu float32", "died")
    assert (question.text, question.system) == (HOSTILE.replace("\ud83d", "\ufffd" * 3), "be kind")
    kept = chats.rename(cat, chat.id, "sky")
    assert (kept.models, kept.head, kept.changed) == (("starter", "run:1"), after.id, after.created)
    assert chats.all(cat) == [kept]
    with pytest.raises(NotFound):
        chats.ask(cat, 9, "hello?")
    with pytest.raises(NotFound):
        chats.ask(cat, chat.id, "after an answer?", after=one.id)
    chats.delete(cat, chat.id)
    assert chats.turns(cat, chat.id) == []
    with pytest.raises(NotFound):
        chats.answer(cat, question.id, "too late", column="A", model="starter")


def test_every_branch_is_kept_and_every_column_goes_on_from_its_own(cat: Catalogue) -> None:
    chat = chats.create(cat)
    first = chats.ask(cat, chat.id, "sky?")
    answers = said(cat, first, "blue", "That is clever. Blue")
    second = chats.ask(cat, chat.id, "why?", after=first.id)
    said(cat, second, "air", "Good! Air")
    edited = chats.ask(cat, chat.id, "why not green?", after=first.id)
    said(cat, edited, "leaves")
    again = chats.ask(cat, chat.id, "sky?")
    chats.carry(cat, answers[:1], again.id)
    chats.answer(cat, again.id, "azure", column="B", model="run:1@80", stop="turn end")

    tree = Tree(chats.turns(cat, chat.id))
    assert len(tree) == 4
    assert [step.question.text for step in tree.path(second.id)] == ["sky?", "why?"]
    path = tree.path(edited.id)
    assert {column: one.text for column, one in path[0].answers.items()} == {
        "A": "blue",
        "B": "That is clever. Blue",
    }
    assert list(path[1].answers) == ["A"]
    assert {column: one.text for column, one in tree.round(again.id).answers.items()} == {
        "A": "blue",
        "B": "azure",
    }
    assert tree.versions(second.id) == [second.id, edited.id]
    assert tree.versions(first.id) == [first.id, again.id] == tree.after(None)
    assert (tree.beside(first.id, 1), tree.beside(again.id, 1)) == (again.id, None)
    assert (tree.leaf(first.id), tree.leaf(again.id)) == (edited.id, again.id)
    assert tree.leaves() == [second.id, edited.id, again.id]
    assert chats.get(cat, chat.id).head == again.id
    chats.look_at(cat, chat.id, second.id)
    assert chats.get(cat, chat.id).head == second.id
    assert Tree([]).path(5) == []


TWO = """
import sys
from pathlib import Path
from store import chats
from store.catalogue import Catalogue
from store.workspace import Workspace
root, chat, before, name = sys.argv[1:]
sys.stdin.readline()
with Catalogue.open(Workspace(Path(root))) as cat:
    mine = chats.create(cat, title=name).id
    after, own = int(before), None
    for number in range(12):
        after = chats.ask(cat, int(chat), f"{name} {number}", after=after).id
        chats.answer(cat, after, f"to {name} {number}", column="A", model=name)
        own = chats.ask(cat, mine, f"own {name} {number}", after=own).id
"""


def test_two_interfaces_at_once_mix_nothing(workspace: Workspace) -> None:
    with Catalogue.open(workspace) as cat:
        chat = chats.create(cat)
        begun = chats.ask(cat, chat.id, "begun")
        command = [sys.executable, "-c", TWO, str(workspace.root), str(chat.id), str(begun.id)]
        both = [subprocess.Popen([*command, name], stdin=subprocess.PIPE) for name in "xy"]
        for process in both:
            process.communicate(b"go\n")
        assert [process.wait() for process in both] == [0, 0]
        tree = Tree(chats.turns(cat, chat.id))
        ends = tree.leaves()
        assert len(ends) == 2
        for end in ends:
            path = tree.path(end)
            name = path[-1].question.text[0]
            assert [step.question.text for step in path[1:]] == [f"{name} {n}" for n in range(12)]
            assert all(step.answers["A"].text == f"to {step.question.text}" for step in path[1:])
        for own in chats.all(cat)[:2]:
            kept = Tree(chats.turns(cat, own.id)).path(own.head)
            mine = [f"own {own.title} {number}" for number in range(12)]
            assert [step.question.text for step in kept] == mine


def test_words_are_found_in_titles_questions_and_answers(cat: Catalogue) -> None:
    sky = chats.create(cat, title="About the sky")
    asked = chats.ask(cat, sky.id, "Why is it blue? 100% sure\\_")
    said(cat, asked, "x" * 200 + " Über den Wolken scatters\nthe light", "Air.")
    fox = chats.create(cat, title=HOSTILE)
    chats.ask(cat, fox.id, "What colour is the fox?", models=("starter",))
    empty = chats.create(cat)

    def ids(text: str) -> list[int]:
        return [one.chat.id for one in chatlist.listed(cat, text)]

    assert ids("") == [empty.id, fox.id, sky.id]
    assert ids("SKY") == ids("air") == [sky.id]
    assert ids("über SCATTERS blue") == [sky.id]
    assert ids("blue fox") == ids("uber") == ids("1000%") == ids('"is blue"') == []
    assert ids('"the fox"') == ids("fox COLOUR") == [fox.id]
    assert ids("0% sure\\_") == [sky.id]
    assert ids("\x1b]52") == [fox.id]
    (found,) = chatlist.listed(cat, "wolken")
    assert found.questions == 1
    assert found.passage.startswith("…")
    assert "Über den Wolken scatters the light" in found.passage
    assert [one.chat.id for one in chatlist.listed(cat, limit=1)] == [empty.id]
    again = chats.ask(cat, sky.id, "and now?", after=asked.id)
    assert ids("")[0] == sky.id
    assert chatlist.listed(cat, "now")[0].chat.head == again.id


def test_prompts_are_kept_by_name(cat: Catalogue) -> None:
    library.keep(cat, "prompt", "  two \n words ", "Explain {x} \x1b[2J")
    library.keep(cat, "system", "two words", "Be kind.")
    with pytest.raises(Conflict, match="prompt 'two words' already"):
        library.keep(cat, "prompt", "two words", "other")
    assert library.find(cat, "prompt", "two words").text == "Explain {x} \x1b[2J"
    assert library.keep(cat, "prompt", "two words", "other", replace=True).text == "other"
    assert library.rename(cat, "prompt", "two words", "one").name == "one"
    library.keep(cat, "prompt", "two", "2")
    with pytest.raises(Conflict):
        library.rename(cat, "prompt", "one", "two")
    with pytest.raises(NotFound, match="no prompt 'three'") as gone:
        library.find(cat, "prompt", "three")
    assert gone.value.hint == "There are: one, two."
    assert library.delete(cat, "prompt", "one").text == "other"
    kept = [(one.kind, one.name) for one in library.all(cat)]
    assert kept == [("prompt", "two"), ("system", "two words")]
    for name, text in ((" \n", "x"), ("n" * 81, "x"), ("x", " \n ")):
        with pytest.raises(BadInput):
            library.keep(cat, "preset", name, text)


def test_chats_of_an_older_workbench_keep_their_order(workspace: Workspace) -> None:
    with Catalogue.open(workspace) as cat:
        path = cat.workspace.catalogue_path
    old = sqlite3.connect(path)
    for column in ("parent", "system", "sampling", "place"):
        old.execute(f"ALTER TABLE turns DROP COLUMN {column}")
    old.execute("DROP INDEX chats_by_change")
    for column in ("changed", "models", "head"):
        old.execute(f"ALTER TABLE chats DROP COLUMN {column}")
    old.execute("DROP TABLE library")
    old.execute("DELETE FROM _sqlite_migrations WHERE name = '012-branches-and-library'")
    old.execute("INSERT INTO chats VALUES (7, 'sky', 1.0, 'be kind', '{\"temperature\":0.5}')")
    turn = 'INSERT INTO turns (chat_id, position, role, text, "column", model, seed, created) '
    for values in (
        (7, 0, "user", "one", None, None, None, 2.0),
        (7, 1, "user", "nobody answered", None, None, None, 3.0),
        (7, 2, "user", "two", None, None, None, 4.0),
        (7, 3, "assistant", "a", "A", "starter", 9, 5.0),
        (7, 3, "assistant", "b", "B", "run:1@40", 9, 6.0),
    ):
        old.execute(turn + "VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    old.commit()
    old.close()
    with Catalogue.open(workspace) as cat:
        chat = chats.get(cat, 7)
        assert (chat.models, chat.changed) == (("starter", "run:1@40"), 6.0)
        path_ = Tree(chats.turns(cat, 7)).path(chat.head)
        assert [step.question.text for step in path_] == ["one", "nobody answered", "two"]
        last = path_[-1].answers["B"]
        assert (last.text, last.sampling) == ("b", {"temperature": 0.5, "seed": 9})
        assert path_[-1].question.system == "be kind"
        assert chatlist.listed(cat)[0].questions == 3
