"""Where the lock of a device lies.

A GPU is one for all workspaces of a user, so that its lock lies in the user's own folder of this
machine; a processor is shared, and only a workspace's own runs wait for each other there. Knows
names of files. Does not know who holds a lock, nor other users (see `engine.train.device`).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from store.errors import Conflict
from store.workspace import Workspace


def lock_path(workspace: Workspace, device: str) -> Path:
    """The lock file of a device: `cpu`, or a GPU as CUDA_VISIBLE_DEVICES names it.

    Raises:
        Conflict: the folder for locks belongs to someone else.
    """
    if device == "cpu":
        return workspace.root / "device.lock"
    return _folder() / f"gpu-{device.replace('/', '-')}.lock"


def visible_devices(device: str, listed: str) -> list[str]:
    """The devices that a process may use, as their locks are named, the one it takes by itself
    first.

    Args:
        device: `cuda` or `cpu`.
        listed: CUDA_VISIBLE_DEVICES.
    """
    if device != "cuda":
        return ["cpu"]
    return [part.strip() for part in listed.split(",") if part.strip()] or ["0"]


def _folder() -> Path:
    parent = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = (parent if parent.is_dir() else Path("/tmp")) / f"workbench-{os.getuid()}-devices"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Conflict(
            f"{folder}: not a folder of yours alone (expected mode 0700)",
            "Remove it, or set XDG_RUNTIME_DIR to a folder of your own.",
        )
    return folder
