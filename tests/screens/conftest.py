"""Applications under test: a fresh workspace each, no blinking, no animation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.train import status
from screens import inturn
from store.workspace import Workspace
from tests.screens.written import NOW
from workbench.app import WorkbenchApp

MakeApp = Callable[..., WorkbenchApp]


@pytest.fixture(autouse=True)
def no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that a test wrote down wrote last at the stopped clock's hour."""
    monkeypatch.setattr(status, "clock", lambda: NOW)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys wait for one another however busy the machine is."""
    monkeypatch.setattr(inturn, "PATIENCE", 60.0)


@pytest.fixture
def make_app(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeApp]:
    """Makes the application, whose top line shows neither this machine nor a random folder.

    Workers that a test left for the next question are sent away after it.
    """
    monkeypatch.setattr(WorkbenchApp, "place", "~/rules · 2 cores · 24 GB")

    def make(file: Path | None = None) -> WorkbenchApp:
        return WorkbenchApp(workspace, str(file) if file is not None else None)

    yield make
    if "engine.chat.client" in sys.modules:
        from engine.chat.client import free_device

        free_device(workspace)
