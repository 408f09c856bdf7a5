"""The application in a terminal of its own that goes away."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path


def test_who_loses_the_terminal_without_a_signal_leaves_nobody_behind(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", "--workspace", str(tmp_path / "ws")],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,  # without a controlling terminal nobody sends SIGHUP
    )
    os.close(follower)
    try:
        seen = b""
        while b"Data" not in seen:
            seen += os.read(leader, 65536)
        os.close(leader)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
