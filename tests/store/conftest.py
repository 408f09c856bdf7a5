"""What the tests of the store share: a workspace, an open catalogue, a run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def run_db(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "1"
    folder.mkdir(parents=True)
    return folder / "run.db"
