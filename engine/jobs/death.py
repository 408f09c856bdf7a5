"""Why a process that left no last word is gone, in plain words, from what can still be known.

Knows exit codes (of children of this program), the kernel's counters of processes killed for lack
of memory, restarts of the machine, and what the interpreter writes when it crashes. The kernel's
own log is for administrators, so it says what is certain and what is likely. Does not know what
the process did.
"""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec

FILE = "life.json"
_LOG_TAIL = 20_000
_MUCH = 0.85
"""Share of the memory from which on a kill without a witness is likely for lack of it."""
_FATAL = "Fatal Python error: "


class Witness(msgspec.Struct, frozen=True):
    """What a process writes down as it begins, to be compared with after its end.

    Attributes:
        boot: identity of this start of the machine; empty where the system has none.
        oom_kills: processes killed for lack of memory until then, None where nobody counts.
    """

    pid: int
    boot: str
    oom_kills: int | None


def begin(folder: Path, pid: int) -> None:
    """Write the witness of a process that begins."""
    found = Witness(pid, _boot(), _oom_kills())
    (folder / FILE).write_bytes(msgspec.json.encode(found))


def reason(
    folder: Path, pid: int | None, exit_code: int | None, log: Path, memory: tuple[float, float]
) -> str:
    """One or two sentences.

    Args:
        folder: where `begin` wrote.
        exit_code: as `subprocess` has it, negative for signals; None where nobody waited for it.
        memory: bytes that it used when it was last looked at, and bytes that there are; 0 where
            unknown.
    """
    witness = _read(folder)
    if witness is not None and witness.pid != pid:
        witness = None
    if witness is not None and witness.boot != _boot():
        return "The machine was restarted."
    crashed = _crash(log)
    now = _oom_kills()
    starved = (
        witness is not None
        and witness.oom_kills is not None
        and now is not None
        and now > witness.oom_kills
    )
    used = f" It used {_gb(memory[0])} of {_gb(memory[1])} GB." if all(memory) else ""
    much = all(memory) and memory[0] >= _MUCH * memory[1]
    if starved and exit_code in (None, -signal.SIGKILL):
        return f"Out of memory: the system killed it.{used}"
    if crashed:
        return f"It crashed: {crashed}."
    if exit_code == -signal.SIGKILL or (exit_code is None and much):
        likely = " Lack of memory is likely." if much else ""
        return f"It was killed, by a person or by the system.{used}{likely}"
    if exit_code is not None and exit_code < 0:
        return f"It was ended by {_signal(-exit_code)}."
    if exit_code:
        return f"It ended with exit code {exit_code}; its log tells more."
    return f"It ended without a word, most likely killed.{used}"


def _read(folder: Path) -> Witness | None:
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Witness)
    except (OSError, msgspec.DecodeError):
        return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _oom_kills() -> int | None:
    """As the kernel counts them for the machine, and for the group of processes that this is in."""
    places = [Path("/proc/vmstat"), *_group_files()]
    counts = [count for path in places if (count := _counter(path)) is not None]
    return sum(counts) if counts else None


def _group_files() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if not kinds:  # version 2
            found.append(root / path.lstrip("/") / "memory.events")
        elif "memory" in kinds.split(","):
            found.append(root / "memory" / path.lstrip("/") / "memory.oom_control")
    return found


def _counter(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def _crash(log: Path) -> str | None:
    """What the interpreter wrote at the end of the log as it crashed."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - _LOG_TAIL, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    at = text.rfind(_FATAL)
    # A later line of ours means that this crash was an earlier life's.
    if at < 0 or "set up in" in text[at:]:
        return None
    return text[at + len(_FATAL) :].splitlines()[0][:200]


def _gb(amount: float) -> str:
    return f"{amount / 2**30:.1f}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
