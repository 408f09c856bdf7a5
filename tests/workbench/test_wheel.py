"""A wheel built from the tree, unpacked elsewhere, is the whole program: code, styles, assets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was installed, far from the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in files:
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheel = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*pip, *wheel, str(source)], check=True)
    (built,) = folder.glob("*.whl")
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(folder / "site"), str(built)], check=True
    )
    return folder / "site"


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program in a folder that holds nothing of the tree."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-m", "workbench", *arguments],
        cwd=site.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_wheel_previews_a_shipped_row_with_the_shipped_model(site: Path) -> None:
    habit = str(site / "assets" / "datasets" / "habit.jsonl")
    arguments = ["preview", habit, "--row", "1", "--model", "starter"]
    done = run(site, "data", *arguments, "--workspace", str(site.parent / "ws"), "--json")
    preview = json.loads(done.stdout)
    assert len(preview["ids"]) == len(preview["mask"]) == len(preview["tokens"])
    assert sum(preview["mask"]) == preview["trained_tokens"] > 0


def test_everything_tracked_is_in_the_wheel(site: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "workbench", "screens", "engine", "store", "assets"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    missing = [n for n in tracked if (ROOT / n).is_file() and not (site / n).is_file()]
    assert missing == []
