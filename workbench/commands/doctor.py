"""`workbench doctor`: what this machine has, and what that allows."""

from __future__ import annotations

from workbench.output import JsonOption, WorkspaceOption, emit


def doctor(workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Print what the machine has and what that allows."""
    import shutil
    import sqlite3

    from engine.machine.facts import this_machine
    from engine.machine.probe import probe
    from store.sqlite import WAL_FIXED
    from workbench.workspace import find_workspace

    place = find_workspace(workspace)
    here = this_machine()
    free = shutil.disk_usage(place.root).free
    wal_safe = sqlite3.sqlite_version_info >= WAL_FIXED
    heavy = probe()
    terminal = _terminal()
    facts = {
        "workspace": str(place.root),
        "machine": here.as_dict(),
        "disk_free": free,
        "sqlite": {"version": sqlite3.sqlite_version, "wal_reset_fixed": wal_safe},
        "libraries": heavy,
        "terminal": terminal,
    }
    gpus = ", ".join(f"{g.name}, {g.memory / 1e9:.0f} GB" for g in here.gpus)
    rows = [
        (True, "system", f"{here.system} · Python {here.python}"),
        (
            True,
            "processor",
            f"{here.cpu} · {here.cores} cores · {here.memory / 2**30:.0f} GB",
        ),
        (free > 2 * 2**30, "disk", f"{free / 1e9:.0f} GB free in {place.root}"),
        (
            bool(here.gpus),
            "GPU",
            gpus or "none: models up to about 100M parameters train well here",
        ),
        (bool(heavy["bf16"]), "bf16", "in hardware" if heavy["bf16"] else "slow: fp32 is used"),
        (bool(heavy["nf4"]), "NF4", f"QLoRA works, {heavy['nf4_detail']}"),
        (
            heavy["llama_cpp"] is not None,
            "llama.cpp",
            f"{heavy['llama_cpp']} on the {heavy['llama_detail']}: GGUF chat and proofs work"
            if heavy["llama_cpp"]
            else f"missing: {heavy['llama_detail']}",
        ),
        (
            wal_safe,
            "SQLite",
            sqlite3.sqlite_version
            + ("" if wal_safe else ": WAL-reset bug, avoided by one writer per file"),
        ),
        (bool(terminal["colours"]), "terminal", str(terminal["text"])),
    ]
    emit(facts, json, (f"{'✓' if good else '!'} {name:<10} {text}" for good, name, text in rows))


def _terminal() -> dict[str, object]:
    """What the terminal says of itself."""
    import os
    import shutil
    import sys

    name = os.environ.get("TERM", "unknown")
    true_colour = os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
    colours = true_colour or "256" in name
    size = shutil.get_terminal_size()
    inside = " in tmux" if os.environ.get("TMUX") else ""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    depth = "24-bit colour" if true_colour else "256 colours" if colours else "few colours"
    words = [f"{name}{inside}", depth, f"{size.columns}×{size.lines}"]
    if not utf8:
        words.append("not UTF-8: set LANG=C.UTF-8")
    return {"name": name, "colours": colours, "utf8": utf8, "text": " · ".join(words)}
