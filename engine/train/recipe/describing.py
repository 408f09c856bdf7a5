"""How a setting describes itself: type, bounds, choices, docstring and its place in a form.

Knows the kinds of values that a recipe holds. Does not know any setting by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Value = bool | int | float | str | tuple[str, ...]

AUTO = "auto"
"""The value that leaves a decision to the engine."""

SWITCH = (AUTO, "true", "false")
"""What a switch is written as; its values are `"auto"`, True and False."""


@dataclass(frozen=True, slots=True)
class RecipeField:
    """What a form or a help page needs to know of one setting.

    Attributes:
        type: bool, int, float, str, list, or switch (`auto`, true or false).
        help: the docstring; its first sentence stands alone.
        low, high: bounds of a number, both allowed.
        choices: the only values of a text; pattern: what a text must match; words: that in words.
        group: where it stands in a form; usual: whether it is shown at once.
    """

    name: str
    type: str
    default: Value
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    words: str = ""
    group: str = "Training"
    usual: bool = False

    @property
    def brief(self) -> str:
        """The first sentence of its docstring."""
        first, stop, _ = self.help.partition(". ")
        return first + (stop and ".")

    @property
    def expected(self) -> str:
        """The values it takes, in words."""
        if self.words:
            return self.words
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.type == "bool":
            return "true or false"
        if self.type == "switch":
            return "auto, true or false"
        if self.type == "list":
            return "a list of texts, separated by commas"
        noun = "a whole number" if self.type == "int" else "a number"
        return f"{noun} from {_bound(self.low)} to {_bound(self.high)}"


def _bound(value: float | None) -> str:
    """Large whole numbers in full: 10000000 is read sooner than 1e+07."""
    assert value is not None
    return str(int(value)) if value == int(value) else f"{value:g}"


def setting(
    default: Value,
    help_: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    switch: bool = False,
    pattern: str = "",
    words: str = "",
    group: str,
    usual: bool = False,
) -> Any:
    """A dataclass field that carries its description as metadata."""
    facts = {
        "type": "switch" if switch else _type_name(default),
        "help": help_,
        "low": low,
        "high": high,
        "choices": choices,
        "pattern": pattern,
        "words": words,
        "group": group,
        "usual": usual,
    }
    return field(default=default, metadata=facts)


def _type_name(default: object) -> str:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "str")):
        if isinstance(default, kind):
            return name
    return "list"
