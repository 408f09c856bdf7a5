"""What can be found in a dataset, in words: every kind, how bad it is, and what to do about it.

Knows names and sentences. Does not know how something is found (see `judge`, `duplicates`) or
kept (see `store.findings`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    pass

Level = Literal["info", "warn", "error"]


class Finding(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One thing to know about one row.

    Attributes:
        line: the row, counted from 1.
        kind: a name of `KINDS`.
        detail: what it is, a sentence without the line.
        group: findings that belong together, as copies of one row, share it; else empty.
    """

    line: int
    kind: str
    detail: str
    group: str = ""

    @property
    def row(self) -> int:
        """The line."""
        return self.line

    @property
    def text(self) -> str:
        """A sentence that names the line."""
        return f"line {self.line}: {self.detail}"

    @property
    def level(self) -> Level:
        """How bad it is; `warn` for a kind of somebody else's."""
        return KINDS[self.kind].level if self.kind in KINDS else "warn"


class Kind(msgspec.Struct, frozen=True):
    """A kind of finding.

    Attributes:
        title: what is so, after "rows that …".
        level: `error` rows are not trained on; `warn` rows teach something else than they say.
        advice: what a person can do.
        fix: the name of a bulk fix in `fix`; None where a person has to decide.
    """

    title: str
    level: Level
    advice: str
    fix: str | None = None


KINDS: dict[str, Kind] = {
    "bad_row": Kind("cannot be read", "error", "Repair the row, or delete it.", "delete"),
    "long_line": Kind(
        "are too long to read", "error", "Split the row outside, or delete it.", "delete"
    ),
    "empty": Kind("say nothing", "error", "Write an answer, or delete the row.", "delete"),
    "unsupported": Kind(
        "are of a kind that this training cannot use",
        "error",
        "Convert them (workbench data convert), or leave them out.",
        "delete",
    ),
    "role_order": Kind(
        "have turns in an order that the template refuses",
        "error",
        "Merge or reorder the turns, or choose another model.",
        "merge_turns",
    ),
    "nothing_trained": Kind(
        "are masked to nothing",
        "error",
        "Add an answer, train a turn, or raise max_length.",
        "delete",
    ),
    "same_answers": Kind(
        "prefer an answer to itself",
        "error",
        "Write another rejected answer, or delete the row.",
        "delete",
    ),
    "cut": Kind(
        "are cut at max_length", "warn", "Raise max_length, or shorten or split the row.", "delete"
    ),
    "no_turn_end": Kind(
        "do not train the end of a turn",
        "warn",
        "The model may not learn to stop: look at the template, or choose another model.",
    ),
    "doubled_bos": Kind(
        "begin with the begin-of-sequence token twice",
        "warn",
        "Take the token out of the text: the template writes it.",
        "strip_special",
    ),
    "special_text": Kind(
        "have a special token written in their text",
        "warn",
        "It becomes the token itself: take it out.",
        "strip_special",
    ),
    "tools_lost": Kind(
        "have tools or calls that the template leaves out",
        "warn",
        "Choose a model whose template knows tools.",
    ),
    "text_lost": Kind(
        "have text that the template leaves out or changes",
        "warn",
        "Look at the rendered text; another role or order may keep it.",
    ),
    "mask_untold": Kind(
        "have a turn whose mask cannot be told exactly",
        "warn",
        "It is not trained. Split the row so that the turn comes last, or choose another model.",
    ),
    "prompts_differ": Kind(
        "show their two answers after different prompts",
        "warn",
        "The answers are compared as if in one place: look at the template, or choose another.",
    ),
    "empty_turn": Kind("have a turn without text", "warn", "Fill the turn, or delete it."),
    "duplicate": Kind("say the same as an earlier row", "warn", "Delete the copies.", "delete"),
    "reasoning_lost": Kind(
        "have reasoning that the template drops",
        "info",
        "Many templates keep only the last turn's: split the row if earlier ones should teach it.",
    ),
    "unanswered": Kind(
        "end with a turn that nobody answers",
        "info",
        "Nothing after the last answer is trained; some trainers drop such rows.",
        "drop_last_turn",
    ),
}
"""Every kind that is found here, the worst first. Later checks add theirs to the same table."""

DROPPED = frozenset(name for name, kind in KINDS.items() if kind.level == "error")
"""Kinds of rows that training leaves out."""
