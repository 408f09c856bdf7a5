"""Where exports lie: names while they are written, final names, parts, and what lies beside them.

Knows paths and JSON. Does not know what is in an export, nor the catalogue.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from engine.models.folder import read_json
from store.errors import Conflict, NotFound

PROVENANCE = "workbench.json"
PROOF = "proof.json"
MODELFILE = "Modelfile"
_PARTIAL = ".partial"
_ROOM = "workbench-"
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")


def partial_of(final: Path) -> Path:
    """The hidden name of an export while it is written and proved."""
    return final.with_name(f".{final.name}{_PARTIAL}")


def parts_folder(partial: Path) -> Path:
    """Where the parts of a file lie until they are proved: llama.cpp finds them by their names."""
    return partial.with_name(f"{partial.name}.parts")


def stem_of(partial: Path) -> str:
    """What the parts of an export are called before their numbers."""
    return partial.name.removeprefix(".").removesuffix(_PARTIAL).removesuffix(".gguf")


def part_name(stem: str, number: int, count: int) -> str:
    """llama.cpp's name of one part, from 1."""
    return f"{stem}-{number:05d}-of-{count:05d}.gguf"


def parts(path: Path) -> list[Path]:
    """All files of an export that is named by its (first) file; a folder is itself.

    Raises:
        NotFound: a part is missing. Conflict: it is not the first part.
    """
    found = _named(path)
    missing = [part.name for part in found if not part.is_file()]
    if len(found) > 1 and missing and path.exists():
        raise NotFound(f"{path}: part {missing[0]} is missing.", "Copy every part beside it.")
    return found


def left(path: Path) -> list[Path]:
    """What is still there of an export, some parts of which may be gone."""
    return [part for part in _named(path) if part.exists()]


def _named(path: Path) -> list[Path]:
    """The files that belong to an export by its name."""
    named = _PART.fullmatch(path.name)
    if named is None or path.is_dir():
        return [path]
    stem, number, count = named[1], int(named[2]), int(named[3])
    if number != 1:
        first = part_name(stem, 1, count)
        raise Conflict(f"{path}: is part {number} of {count}.", f"Name the first part, {first}.")
    return [path.with_name(part_name(stem, place, count)) for place in range(1, count + 1)]


def present(path: Path) -> bool:
    """Whether an export lies there, with all its parts."""
    try:
        return all(part.exists() for part in parts(path))
    except NotFound:
        return False


def remove(path: Path) -> None:
    """Delete a file or folder that may not be there."""
    if path.is_dir() and not path.is_symlink():
        with suppress(FileNotFoundError):  # somebody else clears it too
            shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_partial(partial: Path) -> None:
    """Take away everything that lies under a temporary name."""
    halfway = halfway_of(partial)
    rooms = (room_of(partial), room_of(halfway))
    for path in (partial, parts_folder(partial), halfway, folder_of(partial), *rooms):
        remove(path)


def halfway_of(partial: Path) -> Path:
    """Where a model lies in 16 bits while the quantiser makes a file of it."""
    return partial.with_name(f"{partial.name}.16")


def folder_of(partial: Path) -> Path:
    """Where a merged folder lies while another converter makes a file of it."""
    return partial.with_name(f"{partial.name}.merged")


def room_of(partial: Path) -> Path:
    """Where another converter works on a file."""
    return partial.with_name(f"{partial.name}.room")


def remove_export(path: Path) -> None:
    """Delete an export: its parts and what lies beside it."""
    for part in left(path):
        remove(part)
    for name in (PROVENANCE, PROOF):
        remove(beside(path, name))


def new_room() -> Path:
    """A folder for the temporary files of one job."""
    return Path(tempfile.mkdtemp(prefix=_ROOM))


def remove_room(room: Path) -> None:
    """Delete such a folder, and no other: a catalogue that came from elsewhere may name any."""
    if room.parent == Path(tempfile.gettempdir()) and room.name.startswith(_ROOM):
        remove(room)


def unproved_name(path: Path) -> Path:
    """`model.gguf` to `model.unproved.gguf`, `folder` to `folder.unproved`."""
    ending = ".gguf" if path.name.endswith(".gguf") else ""
    return path.with_name(f"{path.name.removesuffix('.gguf')}.unproved{ending}")


def taken(final: Path) -> list[Path]:
    """What lies under a name already, in one file or in parts."""
    stem = re.escape(final.name.removesuffix(".gguf"))
    pattern = re.compile(rf"{stem}-\d{{5}}-of-\d{{5}}\.gguf")
    found = [final] if final.exists() or final.is_symlink() else []
    if final.suffix == ".gguf" and final.parent.is_dir():
        found += sorted(path for path in final.parent.iterdir() if pattern.fullmatch(path.name))
    return found


def settle(partial: Path, written: Path, final: Path, *, force: bool) -> Path:
    """Give what was written its final name.

    Args:
        written: `partial`, or the first of the parts that were made of it.
        force: replace what lies there.
    Returns:
        the name of the file or folder, or of the first part.
    Raises:
        Conflict: something lies there that must not be replaced.
    """
    for path in taken(final):
        if not force:
            raise Conflict(f"{path}: appeared meanwhile.", "Choose another --out.")
        if path.is_dir() and not (path / PROVENANCE).is_file():
            raise Conflict(f"{path}: is a folder of something else.", "Choose another --out.")
        if written != partial or path.is_dir() or path != final:
            remove(path)
    if written == partial:
        os.replace(partial, final)
        result = final
    else:
        old, new = stem_of(partial), final.name.removesuffix(".gguf")
        moved = [(part, final.with_name(part.name.replace(old, new, 1))) for part in parts(written)]
        for part, target in reversed(moved):  # the first, which names the others, comes last
            os.replace(part, target)
        result = moved[0][1]
        if written.parent == parts_folder(partial):
            written.parent.rmdir()
    _sync(final.parent)
    return result


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def beside(path: Path, name: str) -> Path:
    """A file that belongs to an export: inside a folder for its provenance, else next to it."""
    if name == PROVENANCE and path.is_dir():
        return path / PROVENANCE
    return path.with_name(f"{path.name}.{name}")


def write_beside(path: Path, name: str, value: Mapping[str, Any]) -> None:
    """Write JSON beside an export, whole or not at all."""
    target = beside(path, name)
    partial = target.with_name(f".{target.name}{_PARTIAL}")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    os.replace(partial, target)


def provenance(path: Path) -> dict[str, Any]:
    """What was written beside an export; empty for a foreign one."""
    home = beside(path, PROVENANCE)
    return read_json(home) if home.is_file() else {}
