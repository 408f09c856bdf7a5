"""A text in the person's own editor, `$VISUAL` or `$EDITOR`, and back.

The text lies in a file of the workspace that only its owner can read; it stays there where the
editor fails, so that nothing written is lost. Knows processes and files. Knows no rows.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from textual.app import App, SuspendNotSupported

from store.errors import BadInput, Unsupported

FALLBACKS = ("sensible-editor", "editor", "nano", "vim", "vi")
"""What is tried, in this order, where neither variable is set."""


def command(environment: dict[str, str]) -> list[str]:
    """The words that start the editor.

    Raises:
        Unsupported: none is named, and none of the usual ones is installed.
        BadInput: the variable cannot be read as a command.
    """
    for name in ("VISUAL", "EDITOR"):
        value = environment.get(name, "").strip()
        if value:
            try:
                words = shlex.split(value)
            except ValueError as error:
                raise BadInput(
                    f"{name}={value}: not a command ({error})", f"set {name} to your editor"
                ) from error
            if words:
                return words
    found = next(filter(None, map(shutil.which, FALLBACKS)), None)
    if found is None:
        raise Unsupported(
            "no editor: neither VISUAL nor EDITOR is set, and none of the usual ones is installed",
            "leave, `export EDITOR=nano` (or the editor you like), and start workbench again",
        )
    return [found]


def edit(app: App[None], text: bytes, folder: Path, suffix: str) -> bytes:
    """Hand a text to the editor while the application waits; what it says afterwards.

    Raises:
        Unsupported: there is no editor, or this terminal cannot be handed over.
        BadInput: the editor could not be started, or failed; the words name the file.
    """
    words = command(dict(os.environ))
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor, name = tempfile.mkstemp(suffix=suffix, prefix="row-", dir=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    path = Path(name)
    try:
        with app.suspend():
            done = subprocess.run([*words, name], check=False)
    except SuspendNotSupported:
        path.unlink()
        raise Unsupported(
            "this terminal cannot be handed to another program", "edit the text here instead"
        ) from None
    except OSError as error:
        path.unlink()
        raise BadInput(
            f"{words[0]}: cannot be started ({error.strerror})",
            "set VISUAL or EDITOR to an editor that is installed",
        ) from error
    return _result(path, text, words[0], done.returncode)


def _result(path: Path, text: bytes, editor: str, code: int) -> bytes:
    """What the editor left in the file; the file goes once it was read."""
    try:
        new = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{editor} left no file ({error.strerror})", "the text here is as it was"
        ) from error
    if code != 0:
        if new == text:
            path.unlink()
            kept = "the text here is as it was"
        else:
            kept = f"what it wrote is in {path}; the text here is as it was"
        raise BadInput(f"{editor} ended with {code}", kept)
    path.unlink()
    if new.endswith(b"\n") and not text.endswith(b"\n"):
        new = new[:-1]  # editors end a file with a line break by themselves
    return new
