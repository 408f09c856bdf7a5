"""Suites: TOML files that group prompts and the checks their answers must pass.

Knows the format and names file, line, key and what was expected where a file breaks it. Does not
ask models. A prompt passes when every check of its group does.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import assets
from engine.checks import kinds, patterns
from engine.checks.kinds import Check
from engine.data.rows import Turn
from store.errors import BadInput, NotFound

MAX_BYTES = 64 * 1024 * 1024
_SUITE_KEYS = frozenset({"name", "description", "max_tokens", "lists", "group"})
_GROUP_KEYS = frozenset({"name", "prompts", "prompts_file", "check"})
_CHECK_KEYS = frozenset({"kind", "list", "values", "value", "ignore_case"})
_PROMPT_KEYS = frozenset({"prompt", "system", "expect"})
_HINT = "Compare it with a shipped suite: {}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question, with what is expected of its answer where the suite says so."""

    text: str
    system: str | None = None
    expect: str | None = None

    @property
    def turns(self) -> list[Turn]:
        """The conversation that is to be continued."""
        system = [Turn("system", self.system)] if self.system else []
        return [*system, Turn("user", self.text)]


@dataclass(frozen=True, slots=True)
class Group:
    """Prompts that must pass the same checks."""

    name: str
    prompts: tuple[Prompt, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """A whole suite.

    Attributes:
        sha256: covers the file and every file of prompts it names, which are `files`.
    """

    name: str
    description: str
    max_tokens: int
    groups: tuple[Group, ...]
    sha256: str
    files: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The suite's own file."""
        return self.files[0]

    @property
    def size(self) -> int:
        """How many prompts it has."""
        return sum(len(group.prompts) for group in self.groups)

    @property
    def asked(self) -> list[tuple[Group, Prompt]]:
        """Every prompt with its group, in order."""
        return [(group, prompt) for group in self.groups for prompt in group.prompts]


def names() -> list[str]:
    """The shipped suites."""
    return sorted(path.stem for path in assets.path("suites").glob("*.toml"))


def load(name_or_path: str) -> Suite:
    """Read a suite: a shipped name, or a TOML file.

    Raises:
        NotFound: neither a shipped name nor a file.
        BadInput: the file breaks the format.
    """
    path = Path(name_or_path).expanduser()
    if name_or_path in names():
        path = assets.path("suites", f"{name_or_path}.toml")
    elif not path.is_file():
        raise NotFound(
            f"suite '{name_or_path}': neither a shipped suite nor a file",
            f"Shipped: {', '.join(names())}. Or give the path of a TOML file.",
        )
    return _Reader(path).suite()


class _Reader:
    """One suite file on its way into records."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        self._files: list[Path] = []
        text = self._read(path).decode("utf-8", "replace")
        self._lines = text.splitlines()
        try:
            self._data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise BadInput(f"{path}: not TOML: {error}", self._hint()) from error
        self._lists: dict[str, tuple[str, ...]] = {}

    def suite(self) -> Suite:
        """The suite, checked through and through."""
        data = self._data
        self._known(data, _SUITE_KEYS, "", 1)
        for name, values in self._table(data.get("lists", {}), "lists").items():
            line = self._line_of(name)
            self._lists[name] = self._texts(values, f"lists.{name}", line)
        groups = data.get("group")
        if not isinstance(groups, list) or not groups:
            raise self._bad("group", "at least one [[group]]", None)
        read = tuple(self._group(self._table(g, "group"), i) for i, g in enumerate(groups))
        titles = [group.name for group in read]
        for index, title in enumerate(titles):
            if title in titles[:index]:
                line = self._header("[[group]]", index)
                raise self._bad(f"group[{index + 1}].name", "a name of its own", line, title)
        tokens = data.get("max_tokens", 128)
        if type(tokens) is not int or not 1 <= tokens <= 100_000:
            line = self._line_of("max_tokens")
            raise self._bad("max_tokens", "a whole number from 1 to 100,000", line)
        return Suite(
            name=self._text(data, "name", "", 1, self._path.stem),
            description=self._text(data, "description", "", 1, ""),
            max_tokens=tokens,
            groups=read,
            sha256=self._hash.hexdigest(),
            files=tuple(self._files),
        )

    def _group(self, group: Mapping[str, Any], index: int) -> Group:
        line = self._header("[[group]]", index)
        where = f"group[{index + 1}]"
        self._known(group, _GROUP_KEYS, where, line)
        name = self._text(group, "name", where, line, f"group {index + 1}")
        prompts = [*self._inline(group, where, line), *self._from_file(group, where, line)]
        if not prompts:
            raise self._bad(where, "`prompts` or `prompts_file` with at least one prompt", line)
        listed = group.get("check")
        if not isinstance(listed, list) or not listed:
            raise self._bad(f"{where}.check", "at least one [[group.check]]", line)
        checks = []
        for number, check in enumerate(listed):
            at = self._header("[[group.check]]", number, after=line)
            checks.append(
                self._check(self._table(check, "check"), f"{where}.check[{number + 1}]", at)
            )
        self._expectations(prompts, checks, where, line)
        return Group(name, tuple(prompts), tuple(checks))

    def _check(self, check: Mapping[str, Any], where: str, line: int | None) -> Check:
        self._known(check, _CHECK_KEYS, where, line)
        kind = check.get("kind")
        if kind not in kinds.NAMES:
            raise self._bad(f"{where}.kind", f"one of {', '.join(kinds.NAMES)}", line, kind)
        sources = [key for key in ("list", "values", "value") if key in check]
        if len(sources) > 1:
            raise self._bad(where, "only one of list, values, value", line)
        ignore = check.get("ignore_case", False)
        if not isinstance(ignore, bool):
            raise self._bad(f"{where}.ignore_case", "true or false", line, ignore)
        values = self._values(check, sources, where, line)
        if kind in ("refuses", "not_refuses") and not values:
            values = kinds.REFUSALS
        if kind == "stops" and values:
            raise self._bad(where, "no values: `stops` asks how the answer ended", line)
        if kind != "stops" and not values:
            raise self._bad(where, "list, values or value", line)
        if kind == "regex":
            for value in values:
                if said := patterns.problem(value.replace(kinds.EXPECT, "")):
                    raise self._bad(where, "a regular expression", line, f"{value}: {said}")
        return Check(kind, values, ignore)

    def _values(
        self, check: Mapping[str, Any], sources: Sequence[str], where: str, line: int | None
    ) -> tuple[str, ...]:
        if not sources:
            return ()
        key = sources[0]
        value = check[key]
        if key == "values":
            return self._texts(value, f"{where}.values", line)
        if not isinstance(value, str) or not value:
            raise self._bad(f"{where}.{key}", "a text that is not empty", line, value)
        if key == "value":
            return (value,)
        if value not in self._lists:
            known = ", ".join(self._lists) or "there are none"
            raise self._bad(f"{where}.list", f"a name under [lists] ({known})", line, value)
        return self._lists[value]

    def _inline(self, group: Mapping[str, Any], where: str, line: int | None) -> list[Prompt]:
        listed = group.get("prompts", [])
        if not isinstance(listed, list):
            raise self._bad(f"{where}.prompts", "a list", line, listed)
        return [
            self._prompt(item, f"{where}.prompts[{i + 1}]", self._path, line)
            for i, item in enumerate(listed)
        ]

    def _from_file(self, group: Mapping[str, Any], where: str, line: int | None) -> list[Prompt]:
        if "prompts_file" not in group:
            return []
        name = group["prompts_file"]
        expected = "the name of a JSONL file beside the suite"
        if not isinstance(name, str) or not name:
            raise self._bad(f"{where}.prompts_file", expected, line, name)
        folder = self._path.resolve().parent
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise self._bad(f"{where}.prompts_file", expected, line, name)
        prompts = []
        for number, raw in enumerate(self._read(path).split(b"\n"), 1):
            if not raw.strip():
                continue
            try:
                item = json.loads(raw)
            except (ValueError, RecursionError) as error:
                raise BadInput(f"{path}, line {number}: not JSON: {error}", self._hint()) from error
            prompts.append(self._prompt(item, "the row", path, number))
        return prompts

    def _prompt(self, item: object, where: str, path: Path, line: int | None) -> Prompt:
        if isinstance(item, str):
            item = {"prompt": item}
        if not isinstance(item, dict):
            raise self._bad(where, "a text, or prompt with system and expect", line, item, path)
        self._known(item, _PROMPT_KEYS, where, line, path)
        for key in _PROMPT_KEYS & item.keys():
            if not isinstance(item[key], str) and not (key != "prompt" and item[key] is None):
                raise self._bad(f"{where}.{key}", "a text", line, item[key], path)
        if not item.get("prompt"):
            raise self._bad(f"{where}.prompt", "a text that is not empty", line, None, path)
        return Prompt(item["prompt"], item.get("system"), item.get("expect"))

    def _expectations(
        self, prompts: Sequence[Prompt], checks: Sequence[Check], where: str, line: int | None
    ) -> None:
        if any(kinds.EXPECT in value for check in checks for value in check.values):
            for prompt in prompts:
                if not prompt.expect:
                    raise self._bad(
                        f"{where}.check", "`expect` on every prompt", line, prompt.text[:60]
                    )

    def _read(self, path: Path) -> bytes:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{path}: more than {MAX_BYTES:,} bytes", "Split the suite.")
        data = path.read_bytes()
        self._files.append(path)
        self._hash.update(len(data).to_bytes(8, "big") + data)
        return data

    def _table(self, value: object, where: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._bad(where, "a table", self._line_of(where), value)
        return value

    def _texts(self, value: object, where: str, line: int | None) -> tuple[str, ...]:
        if not isinstance(value, list) or not value or not all(v and type(v) is str for v in value):
            raise self._bad(where, "a list of texts, none empty", line, value)
        return tuple(value)

    def _text(
        self, table: Mapping[str, Any], key: str, where: str, line: int | None, default: str
    ) -> str:
        value = table.get(key, default)
        if not isinstance(value, str):
            raise self._bad(f"{where}.{key}".strip("."), "a text", line, value)
        return value

    def _known(
        self,
        table: Mapping[str, Any],
        known: frozenset[str],
        where: str,
        line: int | None,
        path: Path | None = None,
    ) -> None:
        for key in table:
            if key not in known:
                raise self._bad(
                    f"{where}.{key}".strip("."),
                    f"only {', '.join(sorted(known))}",
                    line,
                    None,
                    path,
                )

    def _line_of(self, key: str) -> int | None:
        for number, text in enumerate(self._lines, 1):
            if text.split("=")[0].strip() == key:
                return number
        return None

    def _header(self, header: str, index: int, after: int | None = 0) -> int | None:
        lines = [n for n, text in enumerate(self._lines, 1) if text.strip().startswith(header)]
        later = [number for number in lines if after is not None and number > after]
        return later[index] if index < len(later) else None

    def _bad(
        self,
        key: str,
        expected: str,
        line: int | None,
        found: object = None,
        path: Path | None = None,
    ) -> BadInput:
        at = f", line {line}" if line else ""
        said = f", not {str(found)[:120]!r}" if found is not None else ""
        return BadInput(f"{path or self._path}{at}: {key}: expected {expected}{said}", self._hint())

    def _hint(self) -> str:
        return _HINT.format(assets.path("suites", "habit.toml"))
