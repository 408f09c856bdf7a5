"""Fixtures that every room shares: an own workspace, the starter model, threads set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["TEXTUAL_ANIMATIONS"] = "none"

import assets
from store.catalogue import Catalogue
from store.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh workspace in a temporary folder."""
    return Workspace(tmp_path / "ws").create()


@pytest.fixture
def cat(workspace: Workspace) -> Iterator[Catalogue]:
    """The open catalogue of a fresh workspace."""
    with Catalogue.open(workspace) as catalogue:
        yield catalogue


@pytest.fixture(scope="session")
def starter() -> Path:
    """The folder of the shipped starter model."""
    return assets.path("starter")
