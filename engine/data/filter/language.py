"""The filter language: an expression becomes a tree of tests, or a message with a column.

    turns > 4 and not (assistant ~ /^(Sure|Certainly)/i or tag = checked)

Knows the grammar. Does not know how a field gets its values (see `fields`), nor rows.

    expression = and { "or" and }
    and        = not { "and" not }
    not        = "not" not | "(" expression ")" | test
    test       = field [ operator value | "in" "(" value { "," value } ")" ]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.data.filter.fields import FIELDS, PATHS, Field, Need, Value, field
from engine.data.find.pattern import Pattern
from store.errors import BadInput
from store.visible import visible

OPERATORS: dict[str, str] = {
    "=": "equal (numbers, 'text', true, false, null)",
    "!=": "not equal",
    "<": "less; texts are compared by the alphabet",
    "<=": "less or equal",
    ">": "more",
    ">=": "more or equal",
    "~": "matches a /regular expression/, /i for any case (RE2 syntax)",
    "!~": "does not match",
    "contains": "has these words; any case unless there is a capital",
    "startswith": "begins with this text",
    "endswith": "ends with this text",
    "in": "one of (a, b, …)",
}
EXAMPLES: tuple[tuple[str, str], ...] = (
    ("turns > 4 and not system", "long conversations without a system turn"),
    ("assistant ~ /^(Sure|Certainly)/i", "an answer that begins so"),
    ("messages.0.content contains poodle", "the first turn speaks of it"),
    ("tokens > 1024 or chars:assistant < 20", "too long, or hardly an answer"),
    ("bad or finding:duplicate or edited", "what wants a look"),
    ("source in (web, 'my notes') and part = train", "by a key of the row and by the split"),
)
_MOST_DEEP = 100
_WORDS = frozenset({"and", "or", "not", "in", "contains", "startswith", "endswith"})
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<op><=|>=|!=|!~|==|=|<|>|~)
    | (?P<paren>[(),])
    | (?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"(?![.\w]))
    | (?P<regex>/(?:\\.|[^/\\])*/[a-z]*)
    | (?P<word>(?:len\([^()]*\)|"(?:\\.|[^"\\])*"|[^\s()<>=!~,'"/]|!(?![=~])|(?<=\w)/)+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*)(?:\.\d+)?(?:[eE][+-]?\d+)?([kKmM]?)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class FilterError(BadInput):
    """An expression that is none. `column` counts from 1; `source` is the whole expression."""

    def __init__(self, source: str, column: int, why: str, hint: str) -> None:
        super().__init__(visible(f"filter, column {column}: {why}"), hint)
        self.source, self.column = source, column

    def pointed(self) -> str:
        """The expression with a caret below the column."""
        return f"{visible(self.source)}\n{' ' * (self.column - 1)}^"


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison; `operator` is empty where the field stands alone."""

    field: Field
    operator: str = ""
    values: tuple[Value, ...] = ()
    pattern: Pattern | None = None


@dataclass(frozen=True, slots=True)
class Not:
    inner: Node


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple[Node, ...]


Node = Test | Not | All | Some


@dataclass(frozen=True, slots=True)
class Filter:
    """An expression that was understood. `needs` is what a `Context` must know for it."""

    text: str
    node: Node
    needs: frozenset[Need]


def parse(text: str) -> Filter:
    """Understand an expression.

    Raises:
        FilterError: it is not understood; column and expectation are named.
    """
    parser = _Parser(text)
    node = parser.expression(0)
    parser.end()
    return Filter(text, node, frozenset(parser.needs))


def help_lines() -> list[str]:
    """The language in lines of text, for a help page."""
    names = [f"  {known.name:<12}{known.about}" for known in FIELDS.values()]
    signs = [f"  {sign:<12}{about}" for sign, about in OPERATORS.items()]
    examples = [f"  {words:<46}{about}" for words, about in EXAMPLES]
    return [
        "A test is FIELD OPERATOR VALUE, or a field alone: there, and neither false nor empty.",
        "Tests are joined by and, or, not and ( ).",
        "Fields:",
        *names,
        *(f"  {words}" for words in PATHS),
        "Operators:",
        *signs,
        "Values: 12, 1.5, 4k, 'text', \"text\", a bare word, true, false, null, /regex/i",
        "Examples:",
        *examples,
    ]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = self._split()
        self.at = 0
        self.needs: set[Need] = set()

    def _split(self) -> list[_Token]:
        source, at, found = self.source.rstrip(), 0, []
        while at < len(source):
            match = _TOKEN.match(source, at)
            if match is None or match.lastgroup is None:
                at += len(source[at:]) - len(source[at:].lstrip())
                sign = source[at]
                if sign in "'\"":
                    raise self._wrong(at, "this quote has no end", "close it, as 'text'")
                if sign == "/":
                    raise self._wrong(
                        at, "this pattern has no end", "close it, as /text/, and write \\/ for /"
                    )
                raise self._wrong(at, f"`{sign}` means nothing here", _HINT)
            kind = match.lastgroup
            found.append(_Token(kind, match[kind], match.start(kind)))
            at = match.end()
        return [*found, _Token("end", "", len(source))]

    def _wrong(self, at: int, why: str, hint: str) -> FilterError:
        return FilterError(self.source, at + 1, why, hint)

    def _unexpected(self, expected: str) -> FilterError:
        token = self.tokens[self.at]
        found = f"found `{token.text[:40]}`" if token.text else "found the end"
        return self._wrong(token.column, f"expected {expected}, {found}", _HINT)

    def _is(self, word: str) -> bool:
        """Take the next token if it is this word or sign."""
        token = self.tokens[self.at]
        if token.kind in ("word", "paren") and token.text.lower() == word:
            self.at += 1
            return True
        return False

    def end(self) -> None:
        if self.tokens[self.at].kind != "end":
            raise self._unexpected("`and`, `or` or the end")

    def expression(self, depth: int) -> Node:
        if depth > _MOST_DEEP:
            raise self._unexpected(f"at most {_MOST_DEEP} brackets inside each other")
        parts = [self._conjunction(depth)]
        while self._is("or"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _conjunction(self, depth: int) -> Node:
        parts = [self._negation(depth)]
        while self._is("and"):
            parts.append(self._negation(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _negation(self, depth: int) -> Node:
        turned = False
        while self._is("not"):
            turned = not turned
        if self._is("("):
            node = self.expression(depth + 1)
            if not self._is(")"):
                raise self._unexpected("`)`")
        else:
            node = self._test()
        return Not(node) if turned else node

    def _test(self) -> Node:
        token = self.tokens[self.at]
        if token.kind != "word" or token.text.lower() in _WORDS:
            raise self._unexpected("a field, as turns or messages.0.content")
        try:
            asked = field(token.text)
        except BadInput as error:
            why = error.message.removeprefix("filter: ")
            raise self._wrong(token.column, why, error.hint) from None
        self.at += 1
        self.needs |= asked.needs
        sign = self.tokens[self.at]
        operator = sign.text.lower()
        if sign.kind == "op" or (sign.kind == "word" and operator in OPERATORS):
            self.at += 1
            return self._compared(asked, "=" if operator == "==" else operator, sign.column)
        return Test(asked)

    def _compared(self, asked: Field, operator: str, column: int) -> Node:
        if asked.kind == "flag" and operator not in ("=", "!="):
            why = f"`{asked.name}` is true or false; `{operator}` does not fit it"
            raise self._wrong(column, why, f"write {asked.name}, or not {asked.name}")
        if operator in ("~", "!~"):
            test = Test(asked, "~", (), self._regex(asked, operator))
            return Not(test) if operator == "!~" else test
        if operator == "in":
            return Test(asked, "in", self._list(asked, operator))
        value = self._value(asked, operator)
        if operator == "!=":
            return Not(Test(asked, "=", (value,)))
        if operator == "contains":
            return Test(asked, operator, (value,), self._pattern(str(value), False, None))
        return Test(asked, operator, (value,))

    def _list(self, asked: Field, operator: str) -> tuple[Value, ...]:
        if not self._is("("):
            raise self._unexpected("`(` and values with commas between")
        values = [self._value(asked, operator)]
        while self._is(","):
            values.append(self._value(asked, operator))
        if not self._is(")"):
            raise self._unexpected("`,` or `)`")
        return tuple(values)

    def _regex(self, asked: Field, operator: str) -> Pattern:
        token = self.tokens[self.at]
        if asked.kind == "number":
            why = f"`{asked.name}` is a number; `{operator}` is for texts"
            raise self._wrong(self.tokens[self.at - 1].column, why, f"as {asked.name} > 4")
        if token.kind == "regex":
            body, _, flags = token.text[1:].rpartition("/")
            if set(flags) - {"i"}:
                at = token.column + len(body) + 2
                raise self._wrong(at, f"expected `i` or nothing after /, found `{flags}`", _HINT)
            self.at += 1
            return self._pattern(body.replace("\\/", "/"), True, "i" not in flags)
        if token.kind in ("text", "word") and token.text.lower() not in _WORDS:
            self.at += 1
            return self._pattern(_unquoted(token), True, True)
        raise self._unexpected("a /regular expression/")

    def _pattern(self, text: str, regex: bool, case: bool | None) -> Pattern:
        token = self.tokens[self.at - 1]
        try:
            return Pattern.compile(text, regex=regex, case=case)
        except BadInput as error:
            place = re.match(r"search: bad pattern at character (\d+): ", error.message)
            at = token.column + (int(place[1]) if place else 0)
            why = error.message[place.end() :] if place else error.message.split(": ", 1)[1]
            raise self._wrong(at, why, error.hint) from None

    def _value(self, asked: Field, operator: str) -> Value:
        token = self.tokens[self.at]
        number = asked.kind == "number" or (
            asked.kind == "turns" and operator in ("<", "<=", ">", ">=")
        )
        if token.kind not in ("word", "text") or token.text.lower() in _WORDS:
            raise self._unexpected("a number" if number else "a value, as 12, 'text' or a word")
        value: Value = _unquoted(token)
        if token.kind == "word":
            value = _plain(token.text)
        textual = operator in ("contains", "startswith", "endswith")
        if number and (not isinstance(value, int | float) or textual):
            if textual:
                why = f"`{asked.name}` is a number; `{operator}` is for texts"
                raise self._wrong(self.tokens[self.at - 1].column, why, f"as {asked.name} > 4")
            raise self._unexpected("a number")
        if asked.kind == "flag" and not isinstance(value, bool):
            raise self._unexpected("true or false")
        if asked.kind in ("text", "names") or textual:
            value = _unquoted(token)
        self.at += 1
        return value


_HINT = "workbench data filter --language shows all fields and operators"


def _unquoted(token: _Token) -> str:
    if token.kind != "text":
        return token.text
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), token.text[1:-1])


def _plain(word: str) -> Value:
    """What a bare word means: a number, true, false, null, or itself."""
    number = _NUMBER.fullmatch(word)
    if number:
        factor = {"k": 1000, "m": 1_000_000}.get(number[1].lower(), 1)
        digits = word[: len(word) - len(number[1])].replace("_", "")
        if re.fullmatch(r"[+-]?\d{1,300}", digits):
            return int(digits) * factor
        return float(digits) * factor
    constants: dict[str, Value] = {"true": True, "false": False, "null": None}
    return constants.get(word.lower(), word)


def walk(node: Node) -> Sequence[Test]:
    """Every test of a tree."""
    if isinstance(node, Test):
        return [node]
    inner = [node.inner] if isinstance(node, Not) else node.parts
    return [test for part in inner for test in walk(part)]
