"""From "export" to "proved": the starter in one type and in three, seconds a stage.

python -m bench export [REF]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from engine.export import client
from engine.export.stages import Stage
from store.catalogue import Catalogue
from store.workspace import Workspace

LIMIT = 30.0
"""Seconds for one type of the starter, everything in."""
_JOBS: tuple[tuple[str, ...], ...] = (("f16",), ("q4_k_m", "q8_0", "f16"))


class Clock:
    """Seconds between what a job says, by the stage that was at work."""

    def __init__(self) -> None:
        self.began = self._last = time.monotonic()
        self.seconds: dict[str, float] = defaultdict(float)

    def hear(self, stage: Stage) -> None:
        self.mark(f"{stage.of} {stage.name}".strip())

    def mark(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] += now - self._last
        self._last = now


def run(cat: Catalogue, ref: str, types: Sequence[str], out: Path) -> float:
    """One export; prints what took how long and returns seconds."""
    clock = Clock()
    made = client.export(cat, ref, types=types, out=out, on_event=clock.hear)
    clock.mark("names and records")
    total = time.monotonic() - clock.began
    print(f"\n{ref} as {', '.join(types)}: {total:.1f} s from export to proved")
    for name, seconds in clock.seconds.items():
        print(f"  {name:<24}{seconds:6.2f} s  {'▇' * round(40 * seconds / total)}")
    for record in made:
        print(f"  {record.type:<8}{(record.bytes or 0) / 1e6:8.2f} MB  {record.status}")
    if any(record.status != "proved" for record in made):
        raise SystemExit("not everything was proved")
    return total


def main() -> int:
    """Both jobs; fails where one type takes too long on a machine that does nothing else."""
    ref = sys.argv[1] if len(sys.argv) > 1 else "starter"
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    with (
        tempfile.TemporaryDirectory() as folder,
        Catalogue.open(Workspace(Path(folder) / "workspace")) as cat,
    ):
        totals = [
            run(cat, ref, types, Path(folder) / f"out{number}")
            if len(types) > 1
            else run(cat, ref, types, Path(folder) / "one.gguf")
            for number, types in enumerate(_JOBS)
        ]
    print(f"\n{totals[1] / totals[0]:.2f} times as long for three types as for one")
    print(f"{totals[0]:.1f} s for one, {LIMIT:.0f} s are allowed")
    if load > cores:
        print(f"others were at work: {load:.1f} processes for {cores} cores when it began")
    return int(ref == "starter" and totals[0] > LIMIT and load <= cores)


if __name__ == "__main__":
    sys.exit(main())
