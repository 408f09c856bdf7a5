"""The part of Go's text/template that our Ollama templates are written in, and how Ollama runs it.

Knows how text becomes a template that gives exactly that text, and evaluates what `probing` writes,
nothing more: fields, string literals, `if`, `range`, `define`, `template`, variables, and the
functions eq, ne, and, or, ge, len, slice and index. Strings are bytes, as in Go. Does not know
Jinja. Semantics: https://pkg.go.dev/text/template; how messages come in: `collate` in Ollama's
template/template.go.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

Value = bytes | int | bool | Sequence["Value"] | Mapping[str, "Value"]
Expression = str | int | tuple["Expression", ...]
"""A leaf as it is written (`.Role`, `$m`, `"text"`), a number, or a call."""

_ACTION = re.compile(r"\{\{ (.*?) \}\}", re.DOTALL)
_WORD = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[()]|[^\s()"]+)')
_ESCAPE = re.compile(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")
_DEEPEST = 300
"""Templates inside templates; Go's own limit is 100,000."""


class GoFailed(Exception):
    """The template does not go through; Ollama would answer with an error."""


def literal(text: str) -> str:
    """Template source that gives `text`, and that a Modelfile holds unchanged.

    A Modelfile ends at three quotes, and drops characters that Go does not call printable.
    """
    runs = groupby(text, lambda c: c in "\n\t" or (printable(c) and c not in '"{}'))
    return "".join(
        run if plain else f"{{{{ {quoted(run)} }}}}"
        for plain, run in ((plain, "".join(run)) for plain, run in runs)
    )


def quoted(text: str) -> str:
    """A Go string literal in ASCII, without quotes or braces inside."""
    return '"' + "".join(c if _plain(c) else _escape(c) for c in text) + '"'


def printable(character: str) -> bool:
    """Whether Go's strconv.IsPrint lets a character pass."""
    return character == " " or unicodedata.category(character)[0] in "LMNPS"


def _plain(character: str) -> bool:
    return " " <= character <= "~" and character not in '"\\{}'


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@dataclass(frozen=True, slots=True)
class _Text:
    text: bytes


@dataclass(frozen=True, slots=True)
class _Print:
    value: Expression


@dataclass(frozen=True, slots=True)
class _Set:
    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class _Choice:
    """The first branch whose condition is true; None is true."""

    branches: list[tuple[Expression | None, list[_Node]]]


@dataclass(frozen=True, slots=True)
class _Loop:
    name: str
    value: Expression
    body: list[_Node]


_Node = _Text | _Print | _Set | _Call | _Choice | _Loop


class GoTemplate:
    """A parsed template.

    Raises:
        ValueError: it holds something that we do not write.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._defined: dict[str, list[_Node]] = {}
        parts = iter(_ACTION.split(source))
        actions = ((text, next(parts, None)) for text in parts)
        self._body, end = self._block(actions)
        if end:
            raise ValueError(f"{{{{ {end} }}}} closes nothing")

    def render(self, messages: Sequence[tuple[str, str]]) -> str:
        """The prompt that Ollama makes of messages (role, text).

        Raises:
            GoFailed: as Ollama would fail.
        """
        listed = [
            {"Role": _bytes(role), "Content": _bytes(text)} for role, text in collated(messages)
        ]
        system = "\n\n".join(text for role, text in messages if role == "system")
        data: Value = {"Messages": listed, "System": _bytes(system)}
        out: list[bytes] = []
        self._run(self._body, data, data, {}, out, 0)
        return b"".join(out).decode("utf-8", "surrogatepass")

    def _block(self, actions: Iterator[tuple[str, str | None]]) -> tuple[list[_Node], str]:
        """Nodes up to what ends the block (`end`, `else …`, or nothing)."""
        nodes: list[_Node] = []
        for text, action in actions:
            nodes += [_Text(_bytes(text))] if text else []
            if action is None:
                break
            word, _, rest = action.partition(" ")
            if word in ("end", "else"):
                return nodes, action
            if word == "define":
                name = _unquoted(rest)
                self._defined[name], _ = self._block(actions)
            elif word == "if":
                nodes.append(self._choice(_parsed(rest), actions))
            elif word == "range":
                name, listed = rest.split(", $_ := ")
                nodes.append(_Loop(name, _parsed(listed), self._block(actions)[0]))
            elif word == "template":
                name, _, argument = rest.partition(" ")
                nodes.append(_Call(_unquoted(name), _parsed(argument)))
            elif found := re.fullmatch(r"(\$\w+) :?= (.+)", action):
                nodes.append(_Set(found[1], _parsed(found[2])))
            else:
                nodes.append(_Print(_parsed(action)))
        return nodes, ""

    def _choice(self, first: Expression, actions: Iterator[tuple[str, str | None]]) -> _Choice:
        branches: list[tuple[Expression | None, list[_Node]]] = []
        condition: Expression | None = first
        while True:
            body, end = self._block(actions)
            branches.append((condition, body))
            if end == "end":
                return _Choice(branches)
            if not end.startswith("else"):
                raise ValueError("an if without an end")
            condition = _parsed(end.removeprefix("else if ")) if end != "else" else None

    def _run(
        self,
        nodes: list[_Node],
        top: Value,
        dot: Value,
        names: dict[str, Value],
        out: list[bytes],
        depth: int,
    ) -> None:
        if depth > _DEEPEST:
            raise GoFailed("nested too deeply")
        for node in nodes:
            match node:
                case _Text():
                    out.append(node.text)
                case _Print():
                    out.append(_text(_value(node.value, top, dot, names)))
                case _Set():
                    names[node.name] = _value(node.value, top, dot, names)
                case _Call():
                    inner = _value(node.value, top, dot, names)
                    self._run(self._defined[node.name], inner, inner, {}, out, depth + 1)
                case _Choice():
                    for condition, body in node.branches:
                        if condition is None or _value(condition, top, dot, names):
                            self._run(body, top, dot, names, out, depth)
                            break
                case _Loop():
                    for i, item in enumerate(_items(_value(node.value, top, dot, names))):
                        names[node.name] = i
                        self._run(node.body, top, item, names, out, depth)


def _parsed(text: str) -> Expression:
    """A pipeline of one command: `eq .Role "user"`, with calls in brackets inside."""
    words = [word for word in _WORD.findall(text) if word]
    found, rest = _command(words)
    if rest:
        raise ValueError(f"{text}: a bracket closes nothing")
    return found


def _command(words: list[str]) -> tuple[Expression, list[str]]:
    items: list[Expression] = []
    while words and words[0] != ")":
        word, *words = words
        if word == "(":
            inner, words = _command(words)
            if not words:
                raise ValueError("a bracket is not closed")
            items, words = [*items, inner], words[1:]
        else:
            items.append(int(word) if word.isdecimal() else word)
    if not items:
        raise ValueError("an empty command")
    return (items[0] if len(items) == 1 else tuple(items)), words


def _value(given: Expression, top: Value, dot: Value, names: Mapping[str, Value]) -> Value:
    if isinstance(given, int):
        return given
    if isinstance(given, tuple):
        return _called(given, lambda one: _value(one, top, dot, names))
    if given.startswith('"'):
        return _bytes(_unquoted(given))
    root, *fields = given.split(".")
    found = names[root] if len(root) > 1 else top if root else dot
    for field in filter(None, fields):
        if not isinstance(found, Mapping) or field not in found:
            raise ValueError(f"{given}: no such field")
        found = found[field]
    return found


def _called(call: tuple[Expression, ...], value: Callable[[Expression], Value]) -> Value:
    name, *given = call
    if name == "and":
        return next((v for v in map(value, given) if not v), True)
    if name == "or":
        return next((v for v in map(value, given) if v), False)
    values = list(map(value, given))
    match name, values:
        case "eq", [first, *others]:
            return first in others
        case "ne", [first, second]:
            return first != second
        case "ge", [int() as first, int() as second]:
            return first >= second
        case "len", [bytes() | list() as text]:
            return len(text)
        case "slice", [bytes() | list() as text, int() as start, *end]:
            stop = end[0] if end else len(text)
            if not isinstance(stop, int) or not 0 <= start <= stop <= len(text):
                raise GoFailed("slice out of range")
            return text[start:stop]
        case "index", [_, bytes() as why]:
            raise GoFailed(why.decode())
    raise ValueError(f"{name}: a function that we do not write")


def _items(value: Value) -> Sequence[Value]:
    if isinstance(value, bytes | int | Mapping):
        raise ValueError("range over something else than messages")
    return value


def _text(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("printing something else than text")
    return value


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _unquoted(word: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1] or m[2], 16)), word.strip()[1:-1])


def collated(messages: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Messages as Ollama hands them to a template: neighbours of one role become one."""
    found: list[tuple[str, str]] = []
    for role, text in messages:
        if found and found[-1][0] == role != "tool":
            found[-1] = (role, f"{found[-1][1]}\n\n{text}")
        else:
            found.append((role, text))
    return found
