"""The journal: undo and redo against a model that keeps whole documents."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from store import datasets, edits, versions
from store.catalogue import Catalogue
from store.edits import Draft, Edit, Step
from store.errors import Conflict
from store.migrations import migrate_catalogue
from store.sqlite import connect, write
from store.tables import CATALOGUE
from store.versions import Version
from store.workspace import Workspace

Document = tuple[bytes, ...]
RAW = [b'{"a": 1}', b"\xff\xfe not utf-8", '{"s": "\u2028"}'.encode(), b'"\\ud800"', b"", b"\x00"]


def apply(document: Document, edit: Edit) -> Document:
    """Apply a primitive the way a document does, checking what it says was there."""
    rows = list(document)
    if edit.kind == "insert":
        assert edit.before is None
        assert edit.after is not None
        rows.insert(edit.row - 1, edit.after)
    else:
        assert rows[edit.row - 1] == edit.before
        rows[edit.row - 1 : edit.row] = [] if edit.after is None else [edit.after]
    return tuple(rows)


def unsaved(cat: Catalogue, dataset_id: int) -> list[Edit]:
    """The primitives that lead from the file to the document."""
    at = edits.position(cat, dataset_id)
    return list(edits.along(cat, edits.way(cat, dataset_id, at.file, at.head)))


def replay(cat: Catalogue, dataset_id: int, file: Document) -> Document:
    for edit in unsaved(cat, dataset_id):
        file = apply(file, edit)
    return file


def append(cat: Catalogue, dataset_id: int, *made: Edit) -> Step:
    return edits.append(cat, dataset_id, Draft("edit", made, rows=len(made)))


def walked(cat: Catalogue, dataset_id: int, document: Document, *, undo: bool) -> Document | None:
    """Undo or redo, and the document that the way from one head to the other leads to."""
    before = edits.position(cat, dataset_id).head
    if not (edits.undo if undo else edits.redo)(cat, [dataset_id]):
        return None
    after = edits.position(cat, dataset_id).head
    for edit in edits.along(cat, edits.way(cat, dataset_id, before, after)):
        document = apply(document, edit)
    return document


class Model:
    """The truth to compare with: the file, the document, and whole documents to go back to."""

    def __init__(self, file: Document) -> None:
        self.file = self.document = file
        self.past: list[Document] = []
        self.future: list[Document] = []
        self.past_at_save: list[Document] = []

    def edit(self, document: Document) -> None:
        self.past.append(self.document)
        self.future.clear()
        self.document = document

    def undo(self) -> None:
        self.future.append(self.document)
        self.document = self.past.pop()

    def redo(self) -> None:
        self.past.append(self.document)
        self.document = self.future.pop()

    def save(self) -> None:
        self.file = self.document
        self.past_at_save = list(self.past)

    def discard(self) -> None:
        self.document = self.file
        self.past = list(self.past_at_save)
        self.future.clear()


def version_of(dataset_id: int, document: Document) -> Version:
    return Version(dataset_id, str(hash(document)), len(document), sum(map(len, document)))


def act(cat: Catalogue, dataset_id: int, model: Model, dice: random.Random) -> None:
    """One random thing a person may do, done to the journal and to the model."""
    what = dice.choices(["edit", "undo", "redo", "save", "discard"], [8, 7, 5, 2, 1])[0]
    if what == "edit":
        document, made = model.document, []
        for _ in range(dice.choice([1, 1, 1, 4])):
            kinds = ["insert"] if not document else ["insert", "replace", "delete"]
            kind = dice.choice(kinds)
            row = dice.randint(1, len(document) + (kind == "insert"))
            before = None if kind == "insert" else document[row - 1]
            after = None if kind == "delete" else dice.choice(RAW)
            made.append(Edit(kind, row, before, after))
            document = apply(document, made[-1])
        append(cat, dataset_id, *made)
        model.edit(document)
    elif what == "undo":
        document = walked(cat, dataset_id, model.document, undo=True)
        assert (document is None) == (not model.past)
        if document is not None:
            model.undo()
            assert document == model.document
    elif what == "redo":
        document = walked(cat, dataset_id, model.document, undo=False)
        assert (document is None) == (not model.future)
        if document is not None:
            model.redo()
            assert document == model.document
    elif what == "save":
        edits.mark_saved(cat, dataset_id, version_of(dataset_id, model.document))
        model.save()
        assert unsaved(cat, dataset_id) == []
    else:
        edits.discard(cat, dataset_id)
        model.discard()


@pytest.fixture
def dataset(cat: Catalogue, tmp_path: Path) -> int:
    cat.db.execute("PRAGMA synchronous=OFF")  # hundreds of commits; what they say is under test
    return datasets.remember(cat, tmp_path / "a.jsonl", tmp_path.stat()).id


@pytest.mark.parametrize("seed", range(12))
def test_any_sequence_of_edits_undos_redos_saves_and_discards(
    cat: Catalogue, dataset: int, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    other = datasets.remember(cat, tmp_path / "other.jsonl", tmp_path.stat()).id
    model, bystander = Model(tuple(RAW[:3])), Model((b"x",))
    for _ in range(80):
        act(cat, dataset, model, dice)
        if dice.random() < 0.2:
            act(cat, other, bystander, dice)
        assert replay(cat, dataset, model.file) == model.document
        steps = edits.history(cat, [dataset], 1000)
        assert sum(done for _, done in steps) == len(model.past)
        assert sum(not done for _, done in steps) == len(model.future)
    assert replay(cat, other, bystander.file) == bystander.document
    while (document := walked(cat, dataset, model.document, undo=True)) is not None:
        model.undo()
        assert document == model.document
    assert not model.past


@pytest.mark.parametrize("seed", range(4))
def test_every_saved_state_stays_in_reach(cat: Catalogue, dataset: int, seed: int) -> None:
    """From any head there is a way to every version, whatever was undone or dropped since."""
    dice, model = random.Random(seed), Model(tuple(RAW[:3]))
    saved: dict[int, Document] = {0: model.file}
    for _ in range(120):
        act(cat, dataset, model, dice)
        at = edits.position(cat, dataset)
        if at.head == at.file:
            saved[at.file] = model.document
        for step, document in saved.items():
            there = model.document
            for edit in edits.along(cat, edits.way(cat, dataset, at.head, step)):
                there = apply(there, edit)
            assert there == document


def test_undo_outlives_a_restart_and_a_save(workspace: Workspace, tmp_path: Path) -> None:
    with Catalogue.open(workspace) as cat:
        dataset = datasets.remember(cat, tmp_path / "a", tmp_path.stat()).id
        append(cat, dataset, Edit("replace", 2, b"\xff old", b"new"))
        edits.mark_saved(cat, dataset, Version(dataset, "s", 2, 9))
    with Catalogue.open(workspace) as cat:
        moment = edits.moment(cat, dataset)
        assert edits.undo(cat, [dataset])
        assert unsaved(cat, dataset) == [Edit("replace", 2, b"new", b"\xff old")]
        assert edits.moment(cat, dataset) > moment
        assert edits.undo(cat, [dataset]) == []


def test_saving_part_of_the_journal_keeps_the_rest(cat: Catalogue, dataset: int) -> None:
    first = append(cat, dataset, Edit("insert", 1, None, b"a"))
    append(cat, dataset, Edit("insert", 2, None, b"b"))
    edits.mark_saved(cat, dataset, Version(dataset, "s", 1, 2), upto=first.id)
    assert unsaved(cat, dataset) == [Edit("insert", 2, None, b"b")]
    assert [version.sha256 for version in versions.all(cat, dataset)] == ["s"]


@pytest.mark.parametrize("renamed", [True, False])
def test_a_save_cut_short_is_settled_by_the_files_hash(
    cat: Catalogue, dataset: int, renamed: bool
) -> None:
    append(cat, dataset, Edit("insert", 1, None, b"a"))
    assert edits.recover(cat, dataset, "whatever") is False
    edits.begin_save(cat, dataset, Version(dataset, "new", 1, 2))
    assert edits.recover(cat, dataset, "new" if renamed else "old") is renamed
    assert len(unsaved(cat, dataset)) == (0 if renamed else 1)
    assert [version.sha256 for version in versions.all(cat, dataset)] == ["new"] * renamed
    assert versions.intended(cat, dataset) is None


def test_steps_of_several_files_undo_together_or_not_at_all(
    cat: Catalogue, dataset: int, tmp_path: Path
) -> None:
    other = datasets.remember(cat, tmp_path / "other.jsonl", tmp_path.stat()).id
    first = append(cat, dataset, Edit("delete", 1, b"a", None))
    edits.append(cat, other, Draft("move", (Edit("insert", 1, None, b"a"),), batch=first.id))
    assert [step.dataset_id for step in edits.undo(cat, [other])] == [dataset, other]
    assert [step.dataset_id for step in edits.redo(cat, [dataset])] == [dataset, other]
    append(cat, other, Edit("insert", 1, None, b"b"))
    with pytest.raises(Conflict, match=r"also changed .*other\.jsonl"):
        edits.undo(cat, [dataset])
    assert len(unsaved(cat, dataset)) == 1
    assert [step.dataset_id for step in edits.undo(cat, [dataset, other])] == [other]
    assert [step.dataset_id for step in edits.undo(cat, [dataset, other])] == [dataset, other]


def test_the_journal_of_an_older_workbench_becomes_steps(tmp_path: Path) -> None:
    """A list of primitives with their inverses, half of it saved, read as the tree it walks."""
    db = connect(tmp_path / "old.db")
    with write(db):
        CATALOGUE.apply(db, stop_before=["005-edit-steps"])
        db.execute(
            "INSERT INTO datasets (id, path, name, bytes, device, inode, mtime_ns, added, opened) "
            "VALUES (1, '/a', 'a', 1, '1', '1', 1, 0, 0)"
        )
        for values in (
            (1, "replace", b"a", b"b", None, "done", 1),
            (2, "replace", b"b", b"c", None, "undone", 1),
            (3, "replace", b"c", b"b", 2, "done", 0),
            (4, "insert", None, b"x\n", None, "undone", 0),
            (5, "delete", b"x\n", None, 4, "done", 0),
        ):
            db.execute(
                "INSERT INTO edits (id, dataset_id, kind, row, before, after, reverts, state, "
                "saved, created) VALUES (?, 1, ?, 1, ?, ?, ?, ?, ?, 0)",
                values,
            )
        db.execute(
            "INSERT INTO versions (dataset_id, sha256, rows, bytes, upto, state, created) "
            "VALUES (1, 's', 1, 1, 2, 'saved', 0)"
        )
    migrate_catalogue(db)
    cat = Catalogue(db, Workspace(tmp_path))
    assert unsaved(cat, 1) == [Edit("replace", 1, b"c", b"b")]
    assert [kept.upto for kept in versions.kept(cat, 1)] == [2]
    assert [step.label for step in edits.redo(cat, [1])] == ["insert row 1"]
    assert [step.id for step, _ in edits.history(cat, [1], 9)] == [4, 1]
    db.close()
