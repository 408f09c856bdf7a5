"""Finding the workspace: an option, the environment, the folders above, the user's data.

Does not know what lies inside one (see `store.workspace`).
"""

from __future__ import annotations

import os
from pathlib import Path

from store.errors import BadInput
from store.workspace import Workspace

FOLDER = ".workbench"


def find_workspace(option: Path | None) -> Workspace:
    """The workspace to use, made if it is missing.

    The order: `option`, then `WORKBENCH_HOME`, then a `.workbench/` folder in the current
    directory or above it, then the user's data directory.

    Raises:
        BadInput: the place is a file or cannot be written.
    """
    root = _place(option)
    if root.exists() and not root.is_dir():
        raise BadInput(f"workspace {root}: not a folder", "Give --workspace another folder.")
    try:
        return Workspace(root).create()
    except OSError as error:
        raise BadInput(
            f"workspace {root}: cannot be made ({error.strerror})",
            "Give --workspace a folder that you can write.",
        ) from error


def _place(option: Path | None) -> Path:
    if option is not None:
        return option.expanduser().resolve()
    if home := os.environ.get("WORKBENCH_HOME"):
        return Path(home).expanduser().resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    import platformdirs

    return Path(platformdirs.user_data_dir("workbench"))
