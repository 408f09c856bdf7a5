"""Applications under test: a fresh workspace each, no blinking, no animation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from store.workspace import Workspace
from workbench.app import WorkbenchApp

MakeApp = Callable[..., WorkbenchApp]


@pytest.fixture
def make_app(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> MakeApp:
    """Makes the application, whose top line shows neither this machine nor a random folder."""
    monkeypatch.setattr(WorkbenchApp, "place", "~/rules · 2 cores · 24 GB")

    def make(file: Path | None = None) -> WorkbenchApp:
        return WorkbenchApp(workspace, str(file) if file is not None else None)

    return make
