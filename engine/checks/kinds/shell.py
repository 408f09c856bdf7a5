"""Checks of answers that are to be shell commands: one alone, well formed, none of the dangerous.

Knows texts. Nothing is ever executed: bash is only asked to read (`bash -n`), on its standard
input, with no start-up file, an empty environment and a time limit.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache

from engine.checks.kinds.base import Answer, Check, Kind, Outcome, outcome
from engine.checks.kinds.danger import danger
from engine.checks.kinds.script import read
from engine.checks.kinds.structure import unfenced

MAX_TEXT = 20_000
_SECONDS = 5.0
_PROSE = re.compile(r"[A-Z][a-z'’]+[,:!.]?|[IA]|\w+[,:!?.]|[\d.,]*\d[.,]?")
_CAPITALS = frozenset({"Rscript", "Xorg", "Xephyr", "Xvfb"})
_SENTENCE = re.compile(r"[^\W_]+(?: [^\W_]+){3,}[.:!?]")
_LINE = 300


def _one_command(_check: Check, _values: tuple[str, ...], answer: Answer) -> Outcome:
    text = answer.text.strip()
    if not text:
        return Outcome("fail", "empty")
    if "```" in text or (text.startswith("`") and text.endswith("`")):
        return Outcome("fail", "in a code fence")
    if text[0] in "$#>" and text[1:2] in (" ", ""):
        return Outcome("fail", "with a prompt or comment in front")
    first = text.split()[0]
    prose = _PROSE.fullmatch(first[:_LINE]) and first not in _CAPITALS
    if prose or _SENTENCE.fullmatch(text[:_LINE]):
        return Outcome("fail", "reads as prose")
    items = read(text[:MAX_TEXT]).items
    return outcome(items == 1, f"{items} commands")


def _parses(check: Check, _values: tuple[str, ...], answer: Answer) -> Outcome:
    text = unfenced(answer.text) if check.fenced else answer.text
    if not text.strip():
        return Outcome("fail", "empty")
    if "\0" in text:
        return Outcome("fail", "a NUL character")
    return _asked(text[:MAX_TEXT])


@lru_cache(maxsize=8192)
def _asked(text: str) -> Outcome:
    """What bash says of a text. By its standard input: an argument may look like an option."""
    bash = shutil.which("bash")
    if bash is None:
        return Outcome("skipped", "there is no bash on this machine")
    try:
        said = subprocess.run(
            [bash, "--noprofile", "--norc", "-n"],
            input=text.encode("utf-8", "surrogatepass"),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            cwd="/",
            env={"LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return Outcome("error", "bash took too long")
    why = said.stderr.decode("utf-8", "replace").partition("\n")[0][:200]
    return outcome(said.returncode == 0, why or f"bash left with {said.returncode}")


def _no_danger(_check: Check, values: tuple[str, ...], answer: Answer) -> Outcome:
    text = re.sub(r"^[ \t]*```[\w+-]*[ \t]*$", "", answer.text[:MAX_TEXT], flags=re.MULTILINE)
    said = danger(text, values)
    return outcome(said is None, said or "")


KINDS = {
    "one_command": Kind(
        _one_command,
        "is one shell command and nothing else; pipes, && and || make one of several",
        "none",
    ),
    "shell_parses": Kind(
        _parses, "`bash -n` can read it; skipped without bash", "none", frozenset({"fenced"})
    ),
    "no_dangerous_command": Kind(
        _no_danger, "has none of the known destructive commands, nor those of `values`", "may"
    ),
}
