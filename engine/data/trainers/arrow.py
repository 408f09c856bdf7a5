"""How HF datasets reads a JSON Lines file into columns, and where that breaks.

Knows what the loader does with lines and types. Does not know what the rows mean. Tried with the
installed datasets 5.2.0 (packaged_modules/json/json.py), which TRL, Axolotl and LLaMA-Factory all
load with; older ones are said where they differ.

The first 10 MB decide the columns. Up to there a column of mixed types becomes `Json` (before
datasets 4.7 nothing was loaded). After that a new key, or a value where there was none before,
stops the load, a number that is to be text becomes text, and a list or object that is to be text
becomes its JSON, with which all text of that column in the same 10 MB is put in quotes.
"""

from __future__ import annotations

from engine.data.trainers.base import FileVerdict, Outcome, Value, kind

CHUNK = 10 << 20
"""Bytes that the loader reads at a time (`chunksize`)."""
_MOST = 50


class _Node:
    """The type of one place in a row."""

    __slots__ = ("fields", "item", "kind")

    def __init__(self) -> None:
        self.kind = "null"
        self.fields: dict[str, _Node] = {}
        self.item: _Node | None = None


class Columns:
    """The columns of a file as the loader sees them, learned row by row.

    Args:
        chunk: bytes that decide the columns; None: all of the file does.
    """

    def __init__(self, chunk: int | None = CHUNK) -> None:
        self.found: list[FileVerdict] = []
        self._chunk = chunk
        self._bytes = 0
        self._root = _Node()
        self._root.kind = "object"
        self._told: set[tuple[str, str]] = set()

    def see(self, line: int, size: int, value: Value | None) -> None:
        """Take the next row; `size` is that of its line without the ending."""
        first = self._chunk is None or self._bytes <= self._chunk
        self._bytes += size + 1
        if value is None:
            return
        if first:
            self._learn(self._root, value, "", line)
        else:
            self._check(self._root, value, "", line)

    def _learn(self, node: _Node, value: object, path: str, line: int) -> None:
        if value is None or node.kind == "json":
            return
        found = kind(value)
        if node.kind == "null":
            node.kind = found
        elif node.kind != found:
            self._tell(
                "altered", "mixed_types", line, path,
                f"`{path}` is {_a(found)} here and {_a(node.kind)} before: the column becomes Json "
                "(datasets older than 4.7 load nothing)",
                "give it one type in every row, as JSON text for instance",
            )  # fmt: skip
            node.kind = "json"
        elif isinstance(value, dict):
            for key, below in value.items():
                child = node.fields.get(key)
                if child is None:
                    child = node.fields[key] = _Node()
                if not (type(below) is str and child.kind == "text"):
                    self._learn(child, below, f"{path}.{key}" if path else key, line)
        elif isinstance(value, list):
            if node.item is None:
                node.item = _Node()
            for below in value:
                self._learn(node.item, below, f"{path}[]", line)

    def _check(self, node: _Node, value: object, path: str, line: int) -> None:
        if value is None or node.kind == "json":
            return
        found = kind(value)
        if node.kind == found:
            self._check_below(node, value, path, line)
        elif node.kind == "null":
            self._stops(
                "late_value", line, path,
                f"`{path}` was null in all of the first 10 MB and is {_a(found)} here",
            )  # fmt: skip
        elif node.kind == "text" and found in ("number", "bool"):
            self._tell(
                "altered", "late_number", line, path,
                f"`{path}` is {_a(found)} here and text in the first 10 MB: it becomes text",
                "write it as text in every row",
            )  # fmt: skip
        elif node.kind == "text":
            self._tell(
                "altered", "late_nested", line, path,
                f"`{path}` is {_a(found)} here and text in the first 10 MB: it becomes JSON text, "
                "and all text of the column in the same 10 MB is put in quotes",
                "give it one type in every row",
            )  # fmt: skip
        else:
            self._stops(
                "late_type", line, path,
                f"`{path}` is {_a(found)} here and {_a(node.kind)} in the first 10 MB",
            )  # fmt: skip

    def _check_below(self, node: _Node, value: object, path: str, line: int) -> None:
        if isinstance(value, dict):
            for key, below in value.items():
                child = node.fields.get(key)
                where = f"{path}.{key}" if path else key
                if child is None:
                    self._stops(
                        "late_key", line, where,
                        f"`{where}` is not in the first 10 MB, which decide the columns",
                    )  # fmt: skip
                elif not (type(below) is str and child.kind == "text"):
                    self._check(child, below, where, line)
        elif isinstance(value, list) and node.item is not None:
            for below in value:
                self._check(node.item, below, f"{path}[]", line)
        elif isinstance(value, list) and value:
            self._check(_Node(), value[0], f"{path}[]", line)

    def _stops(self, name: str, line: int, path: str, reason: str) -> None:
        self._tell(
            "error", name, line, path, f"{reason}: the whole file fails to load",
            "put a row that has it first, or give every row the same keys and types",
        )  # fmt: skip

    def _tell(
        self, outcome: Outcome, name: str, line: int, path: str, reason: str, remedy: str
    ) -> None:
        if (name, path) not in self._told and len(self.found) < _MOST:
            self._told.add((name, path))
            self.found.append(FileVerdict(line, outcome, name, reason, remedy))


def _a(word: str) -> str:
    if word in ("text", "null"):
        return word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"
