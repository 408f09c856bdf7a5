"""The demo is the story: a habit learned, the world kept, a file proved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_demo_teaches_the_habit_and_proves_the_export(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "demo", "--workspace", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["habit_before"] < 0.05
    assert result["habit_after"] > 0.95
    assert result["world_retained"] >= 0.9
    assert result["proof"] == "proved"
    assert Path(result["export"]).stat().st_size == result["export_bytes"]
