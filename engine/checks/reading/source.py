"""A suite file as plain data that remembers on which line each value stands.

Knows TOML and YAML. Does not know what a suite is. Of YAML only what JSON can say is read: no tags,
no merge keys, no keys twice, and so many values at most, each use of an alias counted.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from store.catalogue import Catalogue
from store.errors import BadInput

MAX_BYTES = 64 * 1024 * 1024
_MOST_YAML_BYTES = 4 * 1024 * 1024
_MOST_VALUES = 200_000
_DEEP = 50
_TAGS = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "float", "bool", "null")} | {
    "tag:yaml.org,2002:timestamp": "str"
}

Place = tuple[str | int, ...]
"""Keys and indices (from 0) that lead to a value."""


def named(place: Place) -> str:
    """The place in words: group[1].check[2].kind."""
    found = ""
    for part in place:
        found += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if found else part
    return found


class Source:
    """One file, and every file that is read on its behalf.

    Attributes:
        data: the file's values.
        files: what was read, the file itself first.
        cat: the catalogue that knows datasets by name; None where there is none.
    """

    def __init__(self, path: Path, hint: str, cat: Catalogue | None = None) -> None:
        self.path = path
        self.cat = cat
        self.hint = hint
        self.files: list[Path] = []
        self._hash = hashlib.sha256()
        self._lines: dict[Place, int] = {}
        text = self.read(path).decode("utf-8", "replace")
        self.is_yaml = path.suffix.lower() in (".yaml", ".yml")
        self.data: Any = self._yaml(text) if self.is_yaml else self._toml(text)

    @property
    def sha256(self) -> str:
        """Of all that was read."""
        return self._hash.hexdigest()

    def read(self, path: Path, *, listed: bool = True) -> bytes:
        """A file's bytes, which become part of the hash; `listed` ones are part of the suite."""
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{path}: more than {MAX_BYTES:,} bytes", "Split the suite.")
        data = path.read_bytes()
        if listed and path not in self.files:
            self.files.append(path)
        self.covers(data)
        return data

    def covers(self, data: bytes) -> None:
        """Let the hash depend on this too."""
        self._hash.update(len(data).to_bytes(8, "big") + data)

    def beside(self, name: str) -> Path | None:
        """A file in the suite's folder or below; None where there is none."""
        folder = self.path.resolve().parent
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None

    def line(self, place: Place) -> int | None:
        """The line of a value, or of what it is in."""
        while place:
            if place in self._lines:
                return self._lines[place]
            place = place[:-1]
        return self._lines.get(())

    def bad(self, place: Place, expected: str, found: object = None) -> BadInput:
        """The error that a value deserves."""
        return refusal(self.path, self.line(place), named(place), expected, found, self.hint)

    def _toml(self, text: str) -> Any:
        try:
            data = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise BadInput(f"{self.path}: not TOML: {error}", self.hint) from error
        self._lines = _toml_lines(text)
        return data

    def _yaml(self, text: str) -> Any:
        if len(text) > _MOST_YAML_BYTES:
            raise BadInput(
                f"{self.path}: more than {_MOST_YAML_BYTES:,} characters of YAML",
                "Put the prompts into a JSONL file and name it with `prompts_file`.",
            )
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            at = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise BadInput(f"{self.path}{at}: not YAML: {error.problem}", self.hint) from error
        except (yaml.YAMLError, RecursionError) as error:
            raise BadInput(f"{self.path}: not YAML: {error}", self.hint) from error
        self._left = _MOST_VALUES
        return None if node is None else self._plain(node, ())

    def _plain(self, node: yaml.Node, place: Place) -> Any:
        """A node's value, its line and those of all in it written down."""
        line = node.start_mark.line + 1
        self._lines[place] = line
        self._left -= 1
        if self._left < 0 or len(place) > _DEEP:
            raise self.bad(place, f"at most {_MOST_VALUES:,} values, {_DEEP} deep, aliases counted")
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*place, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            found: dict[Hashable, Any] = {}
            for key_node, value in node.value:
                key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
                if key is None or key_node.tag.endswith(":merge"):
                    raise self.bad(place, "keys that are texts, none merged")
                self._lines[(*place, key)] = key_node.start_mark.line + 1
                if key in found:
                    raise self.bad((*place, key), "each key once")
                found[key] = self._plain(value, (*place, key))
                self._lines[(*place, key)] = key_node.start_mark.line + 1
            return found
        kind = _TAGS.get(node.tag)
        if kind is None:
            raise self.bad(place, "a text, a number, true, false or null", node.tag)
        if kind == "str":
            return node.value
        constructor = yaml.constructor.SafeConstructor()
        try:
            return constructor.construct_object(node)
        except (ValueError, OverflowError) as error:
            raise self.bad(place, f"a {kind}", node.value) from error


def refusal(
    path: Path, line: int | None, key: str, expected: str, found: object, hint: str
) -> BadInput:
    """File, line, key, what was expected, and what stands there."""
    at = f", line {line}" if line else ""
    said = f", not {str(found)[:120]!r}" if found is not None else ""
    what = f"{key}: " if key else ""
    return BadInput(f"{path}{at}: {what}expected {expected}{said}", hint)


_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")


def _toml_lines(text: str) -> dict[Place, int]:
    """The lines of tables and keys. Values within values have the line of the key."""
    lines: dict[Place, int] = {(): 1}
    counts: dict[Place, int] = {}
    table: Place = ()
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if not inside:
            if match := _HEADER.match(line):
                place: Place = ()
                parts = [part.strip(" \"'") for part in match[2].split(".")]
                for i, part in enumerate(parts):
                    place = (*place, part)
                    if match[1] == "[[" and i == len(parts) - 1:
                        counts[place] = counts.get(place, -1) + 1
                        lines.setdefault(place, number)
                    if place in counts:
                        place = (*place, counts[place])
                table = place
                lines[table] = number
            elif match := _KEY.match(line):
                keys = tuple(part.strip("\"'") for part in match[1].split("."))
                lines.setdefault((*table, *keys), number)
        if (line.count('"""') + line.count("'''")) % 2:
            inside = not inside
    return lines
