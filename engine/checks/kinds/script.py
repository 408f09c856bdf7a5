"""A lenient reading of shell text into its simple commands, for rules about them.

Knows words, quotes, operators, substitutions and compound commands as POSIX describes them. It is
no judge of syntax (bash is, see `shell`), expands nothing and executes nothing: what is broken is
read as far as it goes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_OPERATORS = ("&&", "||", ";;", "|&", "&>>", "&>", "<<<", "<<-", "<<", ">>", ">|", ">&", "<&")
_OPENING = frozenset({"if", "for", "while", "until", "case", "select", "{"})
_CLOSING = frozenset({"fi", "done", "esac", "}"})
_BETWEEN = frozenset({"then", "do", "else", "elif", "!", "time", "in"})
_DEEP = 12


@dataclass(slots=True)
class Command:
    """One simple command: its words without quotes, where it writes, what it is fed by.

    Attributes:
        writes: the targets of its output redirections.
        before: names of the commands whose output it reads through pipes.
    """

    words: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Script:
    """A text's commands, those in substitutions too.

    Attributes:
        items: commands that follow each other; pipes and `&&` make one of several.
    """

    commands: list[Command] = field(default_factory=list)
    items: int = 0


def read(text: str) -> Script:
    """Read a text; never fails."""
    return _Reader(text, 0).script()


class _Reader:
    """Goes once through a text."""

    def __init__(self, text: str, depth: int) -> None:
        self._text, self._at, self._nested = text, 0, depth
        self._script = Script()
        self._command = Command()
        self._fed: list[str] = []
        self._open = self._parens = 0
        self._began = False
        self._redirects = ""

    def script(self) -> Script:
        text = self._text
        while self._at < len(text):
            char = text[self._at]
            if char in " \t":
                self._at += 1
            elif text.startswith("\\\n", self._at):
                self._at += 2
            elif char == "#":
                self._at = _line_end(text, self._at)
            elif char in "\n;&|()" or (char in "<>" and text[self._at + 1 : self._at + 2] != "("):
                self._operator()
            else:
                self._word(self._read_word())
        self._end_item()
        return self._script

    def _operator(self) -> None:
        text, at = self._text, self._at
        found = next((op for op in _OPERATORS if text.startswith(op, at)), text[at])
        self._at += len(found)
        if found in ("&>", "&>>") or found[0] in "<>":
            self._redirects = found
        elif found in ("|", "|&"):
            name = self._command.words[0] if self._command.words else ""
            fed = [*self._fed, name]
            self._end_command()
            self._fed = fed
        elif found in ("&&", "||"):
            self._end_command()
        elif found in "()":
            self._end_command()
            self._parens = max(self._parens + (1 if found == "(" else -1), 0)
            self._began = True
        else:
            self._end_item()

    def _end_command(self) -> None:
        command = self._command
        if command.words or command.writes:
            command.before = self._fed
            self._script.commands.append(command)
        self._command, self._fed, self._redirects = Command(), [], ""

    def _end_item(self) -> None:
        self._end_command()
        if not self._open and not self._parens and self._began:
            self._script.items += 1
            self._began = False

    def _word(self, word: str) -> None:
        self._began = True
        if self._redirects:
            if ">" in self._redirects and not (self._redirects == ">&" and word.isdigit()):
                self._command.writes.append(word)
            self._redirects = ""
        elif not self._command.words and word in _OPENING | _CLOSING | _BETWEEN:
            self._open = max(self._open + (word in _OPENING) - (word in _CLOSING), 0)
        elif word.isdigit() and self._text[self._at : self._at + 1] in ("<", ">"):
            pass  # the number of a file descriptor
        else:
            self._command.words.append(word)

    def _read_word(self) -> str:
        text, parts = self._text, []
        while self._at < len(text):
            char = text[self._at]
            if char in " \t\n;&|":
                break
            if char in "()" or (char in "<>" and text[self._at + 1 : self._at + 2] != "("):
                break
            parts.append(self._piece(char))
        return "".join(parts)

    def _piece(self, char: str) -> str:
        """One character, or one quoted or substituted part."""
        text, start = self._text, self._at
        if char == "\\":
            self._at += 2
            return text[start + 1 : start + 2].replace("\n", "")
        if char == "'":
            end = _find(text, "'", start + 1)
            self._at = end + 1
            return text[start + 1 : end]
        if char == '"':
            return self._double()
        if char == "`":
            end = _find(text, "`", start + 1)
            self._at = end + 1
            self._inner(text[start + 1 : end])
            return text[start : end + 1]
        if char in "$<>" and text.startswith("(", start + 1):
            end = _closing(text, start + 2)
            self._at = end + 1
            if not text.startswith("((", start + 1):
                self._inner(text[start + 2 : end])
            return text[start : end + 1]
        if text.startswith("${", start):
            end = _find(text, "}", start + 2)
            self._at = end + 1
            return text[start : end + 1]
        self._at += 1
        return char

    def _double(self) -> str:
        self._at += 1
        parts = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == '"':
                self._at += 1
                break
            if char in "\\`" or self._text.startswith("$(", self._at):
                parts.append(self._piece(char))
            else:
                parts.append(char)
                self._at += 1
        return "".join(parts)

    def _inner(self, text: str) -> None:
        if self._nested < _DEEP:
            self._script.commands += _Reader(text, self._nested + 1).script().commands


def _line_end(text: str, at: int) -> int:
    return _find(text, "\n", at)


def _find(text: str, wanted: str, start: int) -> int:
    """Where it is, or the end of the text."""
    at = text.find(wanted, start)
    return len(text) if at < 0 else at


def _closing(text: str, at: int) -> int:
    """Where the bracket that was opened before `at` is closed, quotes respected."""
    depth, quote = 1, ""
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "'":
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "()":
            depth += 1 if char == "(" else -1
            if not depth:
                return at
        at += 1
    return len(text)
