"""A suite as it is asked: groups of prompts, and the checks that their answers must pass.

Knows records alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.checks.kinds import Check
from engine.data.rows import Turn

MOST = 100_000
"""Prompts of a group."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question, with what is expected of its answer where the suite says so.

    Attributes:
        before: turns that were said between system and question.
        columns: further values that checks may name, as pairs.
        weight: how much it counts in the suite's score.
        cluster: prompts that bear the same are alike (made from one template); empty for none.
    """

    text: str
    system: str | None = None
    expect: str | None = None
    before: tuple[Turn, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    weight: float = 1.0
    tags: tuple[str, ...] = ()
    cluster: str = ""

    @property
    def turns(self) -> list[Turn]:
        """The conversation that is to be continued."""
        system = [Turn("system", self.system)] if self.system else []
        return [*system, *self.before, Turn("user", self.text)]

    @property
    def fields(self) -> dict[str, str]:
        """What may stand for `{name}` in the values of a check."""
        return dict(self.columns) | ({} if self.expect is None else {"expect": self.expect})


@dataclass(frozen=True, slots=True)
class Group:
    """Prompts that must pass the same checks.

    Attributes:
        judge: the model whose opinion all the checks are; empty where they are deterministic.
    """

    name: str
    prompts: tuple[Prompt, ...]
    checks: tuple[Check, ...]
    judge: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """A whole suite.

    Attributes:
        sha256: covers the file and every file of prompts it names, which are `files`.
        notes: what the file says that has no effect here.
        picked: the tags that its prompts were chosen by; empty where all are there.
    """

    name: str
    description: str
    max_tokens: int
    groups: tuple[Group, ...]
    sha256: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    picked: tuple[str, ...] = ()

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

    @property
    def mixed(self) -> bool:
        """Whether some is counted and some is judged: then the total is of what is counted."""
        return len({bool(group.judge) for group in self.groups}) > 1

    @property
    def tags(self) -> list[str]:
        """Every tag that a prompt bears."""
        return sorted({tag for _, prompt in self.asked for tag in prompt.tags})
