"""Drafts: whole or not there, for their owner alone."""

from __future__ import annotations

from store.drafts import Draft, Drafts
from store.workspace import Workspace

ROW = b'{"text": "as it was"}'


def test_a_draft_is_found_by_what_was_edited_and_goes_when_dropped(workspace: Workspace) -> None:
    drafts = Drafts(workspace)
    assert drafts.find(1, ROW) is None
    draft = Draft("turns", ROW, b"written \xff so far", 2, 12.5)
    drafts.keep(1, ROW, draft)
    assert drafts.find(1, ROW) == draft
    assert drafts.find(2, ROW) is None
    assert drafts.find(1, b"{}") is None
    newer = Draft("json", ROW, b"{", 0, 13.0)
    drafts.keep(1, ROW, newer)
    assert drafts.find(1, ROW) == newer
    drafts.drop(1, ROW)
    drafts.drop(1, ROW)
    assert drafts.find(1, ROW) is None


def test_a_draft_is_private_and_a_torn_one_is_none(workspace: Workspace) -> None:
    drafts = Drafts(workspace)
    drafts.keep(1, ROW, Draft("json", ROW, b"{", 0, 1.0))
    path = drafts.path(1, ROW)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    path.write_bytes(path.read_bytes()[:-3])
    assert drafts.find(1, ROW) is None
