"""`python -m bench [NAME…]`: run the benchmarks, each in a process of its own, and print ratios."""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    "startup",
    "rows",
    "shapes",
    "search",
    "save",
    "metrics",
    "delay",
    "train",
    "recording",
    "first",
    "gpu",
    "ab",
    "preflight",
    "editor",
    "kills",
    "diagnosis",
    "suites",
    "frames",
    "painting",
    "export",
    "families",
    "adapters",
    "convert",
    "vocabularies",
    "templates",
)


def main() -> int:
    """Run the named benchmarks, or all of them; the exit code counts those that failed."""
    wanted = sys.argv[1:] or NAMES
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        sys.stderr.write(f"error: no benchmark '{unknown[0]}'\n hint: one of {', '.join(NAMES)}\n")
        return 2
    failed = 0
    for name in wanted:
        print(f"\n── {name} " + "─" * (60 - len(name)), flush=True)
        done = subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False)
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
