"""The journal: undo and redo against a model that keeps whole documents."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from store import datasets, edits, versions
from store.catalogue import Catalogue
from store.edits import Edit
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


def replay(cat: Catalogue, dataset_id: int, file: Document) -> Document:
    for edit in edits.unsaved(cat, dataset_id):
        file = apply(file, edit)
    return file


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
        kinds = ["insert"] if not model.document else ["insert", "replace", "delete"]
        kind = dice.choice(kinds)
        row = dice.randint(1, len(model.document) + (kind == "insert"))
        before = None if kind == "insert" else model.document[row - 1]
        after = None if kind == "delete" else dice.choice(RAW)
        model.edit(apply(model.document, edits.append(cat, dataset_id, kind, row, before, after)))
    elif what == "undo":
        edit = edits.undo(cat, dataset_id)
        assert (edit is None) == (not model.past)
        if edit is not None:
            document = apply(model.document, edit)
            model.undo()
            assert document == model.document
    elif what == "redo":
        edit = edits.redo(cat, dataset_id)
        assert (edit is None) == (not model.future)
        if edit is not None:
            document = apply(model.document, edit)
            model.redo()
            assert document == model.document
    elif what == "save":
        edits.mark_saved(cat, dataset_id, version_of(dataset_id, model.document))
        model.save()
        assert edits.unsaved(cat, dataset_id) == []
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
        assert edits.can_undo(cat, dataset) == bool(model.past)
        assert edits.can_redo(cat, dataset) == bool(model.future)
    assert replay(cat, other, bystander.file) == bystander.document
    while (edit := edits.undo(cat, dataset)) is not None:
        document = apply(model.document, edit)
        model.undo()
        assert document == model.document
    assert not model.past


def test_undo_outlives_a_restart_and_a_save(workspace: Workspace, tmp_path: Path) -> None:
    with Catalogue.open(workspace) as cat:
        dataset = datasets.remember(cat, tmp_path / "a", tmp_path.stat()).id
        edits.append(cat, dataset, "replace", 2, b"\xff old", b"new")
        edits.mark_saved(cat, dataset, Version(dataset, "s", 2, 9))
    with Catalogue.open(workspace) as cat:
        inverse = edits.undo(cat, dataset)
        assert inverse is not None
        assert (inverse.kind, inverse.row) == ("replace", 2)
        assert (inverse.before, inverse.after) == (b"new", b"\xff old")
        assert not inverse.saved
        assert edits.unsaved(cat, dataset) == [inverse]
        assert edits.unsaved(cat, dataset, after_id=inverse.id) == []
        assert edits.last_id(cat, dataset) == inverse.id


def test_saving_part_of_the_journal_keeps_the_rest(cat: Catalogue, dataset: int) -> None:
    first = edits.append(cat, dataset, "insert", 1, None, b"a")
    second = edits.append(cat, dataset, "insert", 2, None, b"b")
    edits.mark_saved(cat, dataset, Version(dataset, "s", 1, 2), upto=first.id)
    assert edits.unsaved(cat, dataset) == [second]
    assert [version.sha256 for version in versions.all(cat, dataset)] == ["s"]


@pytest.mark.parametrize("renamed", [True, False])
def test_a_save_cut_short_is_settled_by_the_files_hash(
    cat: Catalogue, dataset: int, renamed: bool
) -> None:
    edit = edits.append(cat, dataset, "insert", 1, None, b"a")
    assert edits.recover(cat, dataset, "whatever") is False
    edits.begin_save(cat, dataset, Version(dataset, "new", 1, 2))
    assert edits.recover(cat, dataset, "new" if renamed else "old") is renamed
    assert edits.unsaved(cat, dataset) == ([] if renamed else [edit])
    assert [version.sha256 for version in versions.all(cat, dataset)] == ["new"] * renamed
    assert versions.intended(cat, dataset) is None


def test_a_file_changed_by_others_forgets_its_journal(cat: Catalogue, dataset: int) -> None:
    edits.append(cat, dataset, "insert", 1, None, b"a")
    edits.mark_saved(cat, dataset, Version(dataset, "s", 1, 2))
    edits.append(cat, dataset, "delete", 1, b"a", None)
    edits.forget(cat, dataset)
    assert edits.unsaved(cat, dataset) == []
    assert edits.undo(cat, dataset) is None
    assert edits.redo(cat, dataset) is None
