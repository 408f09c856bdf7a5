"""The form that describes a run: what to train on, from what, and how.

Knows the recipe's fields by their own descriptions and asks the engine whether a value makes
sense. Does not know what training does with them, and starts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from engine.train import recipe as recipes
from engine.train.choosing import Choice, value_words
from engine.train.recipe import RECIPE_FIELDS, Recipe, RecipeField
from screens.widgets.field import Cycle, FieldRow, Pick
from store.errors import BadInput, WorkbenchError

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Data and model", ("Method", "Data")),
    ("Length of training", ("Length",)),
    ("LoRA", ("LoRA",)),
    ("Optimiser", ("Optimiser",)),
    ("Machine", ("Machine",)),
    ("Evaluation and checkpoints", ("Watching",)),
)
"""Titles of the form, and the recipe's groups below each."""

CHOICES = {"bool": ("true", "false"), "switch": recipes.SWITCH}
_ONLY_FOR = {
    "beta": ("dpo", "kto"),
    "desirable_weight": ("kto",),
    "undesirable_weight": ("kto",),
}
"""Fields that mean something for these methods alone, and are usual there."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A run as the form describes it."""

    file: str
    model: str
    recipe: Recipe
    name: str | None


def grouped() -> list[tuple[str, list[RecipeField], list[RecipeField]]]:
    """Title, usual fields and further fields; every recipe field is in exactly one."""
    return [
        (title, [f for f in RECIPE_FIELDS if f.group in groups and f.usual],
         [f for f in RECIPE_FIELDS if f.group in groups and not f.usual])
        for title, groups in GROUPS
    ]  # fmt: skip


def as_text(value: object) -> str:
    """A recipe value as one types it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return ",".join(str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


class RunForm(VerticalScroll, can_focus=False):
    """All fields, the usual ones first; `f2` reveals the rest."""

    class Changed(Message):
        """Something that matters for the plan was changed."""

    class Explained(Message):
        """The focused field, for whoever has room for its whole explanation."""

        def __init__(self, name: str, help_words: str, expected: str) -> None:
            super().__init__()
            self.name = name
            self.help_words = help_words
            self.expected = expected

    def __init__(self) -> None:
        super().__init__(id="run-form")
        self._preset = recipes.load("default")
        self._fields = {field.name: field for field in RECIPE_FIELDS}
        self._chosen: dict[str, Choice] = {}
        self._beyond: dict[str, str] = {}
        self.rows: dict[str, FieldRow] = {}

    def compose(self) -> ComposeResult:
        for number, (title, usual, more) in enumerate(grouped()):
            classes = "form-title -more" if not usual and number else "form-title"
            yield Static(Content(title), classes=classes)
            if number == 0:
                yield from self._subject()
            for field in usual:
                yield self._row(field)
            for field in more:
                yield self._row(field, "-more")

    def _subject(self) -> Iterable[Widget]:
        """What is trained on what."""
        for row in (
            FieldRow("file", Pick("file", "", "⏎ choose a dataset"),
                     "The examples to learn from: one JSON object a line.", classes="-broad"),
            FieldRow("model", Pick("model", "starter", "⏎ choose a model"),
                     "The base whose weights stay frozen.", classes="-broad"),
            FieldRow("recipe", Pick("recipe", "default", "⏎ choose a recipe"),
                     dict(recipes.names()).get("default", ""), classes="-broad"),
            FieldRow("name", Input(placeholder="data and rank", compact=True),
                     "What you will call this run; it can be changed later.", classes="-broad"),
        ):  # fmt: skip
            self.rows[row.field] = row
            yield row

    def _row(self, field: RecipeField, classes: str = "") -> FieldRow:
        value = as_text(self._preset.__getattribute__(field.name))
        choices = CHOICES.get(field.type, field.choices)
        control: Input | Cycle = (
            Cycle(choices, value) if choices else Input(value, compact=True, select_on_focus=False)
        )
        row = FieldRow(field.name, control, field.brief, expected=field.expected, classes=classes)
        self.rows[field.name] = row
        return row

    # -- values ------------------------------------------------------------------------------

    def fill(self, **values: str) -> None:
        """Set fields by name; a recipe's name loads all of its values."""
        if "recipe" in values:
            self._preset = recipes.load(values["recipe"])
            row = self.rows["recipe"]
            row.help_words = dict(recipes.names()).get(values["recipe"], "A recipe of your own.")
            row.explain()
            for name, value in recipes.as_dict(self._preset).items():
                self.rows[name].value = as_text(value)
        for name, value in values.items():
            self.rows[name].value = value
        self.check()
        for row in self.rows.values():
            if row.has_focus_within:
                self._explain(row)
        self.post_message(self.Changed())

    def sets(self) -> dict[str, str]:
        """Recipe fields whose text differs from the preset's, as `--set` takes them."""
        preset = recipes.as_dict(self._preset)
        return {
            name: self.rows[name].value.strip()
            for name, value in preset.items()
            if self.rows[name].value.strip() != as_text(value)
        }

    def check(self) -> Recipe | None:
        """Mark each field that the engine refuses, with the engine's words; None if any is."""
        sets = self.sets()
        complaints: dict[str, str] = {}
        for name, value in sets.items():
            try:
                recipes.with_sets(Recipe(), [f"{name}={value}"])
            except BadInput as error:
                complaints[name] = _about(error)
        result: Recipe | None = None
        if not complaints:
            try:
                result = recipes.with_sets(self._preset, [f"{k}={v}" for k, v in sets.items()])
            except BadInput as error:
                complaints = _blame(error, self._fields)
        for name in self._fields:
            self.rows[name].complain(complaints.get(name) or self._beyond.get(name, ""))
            self.rows[name].set_class(name in sets, "-changed")
        for name, methods in _ONLY_FOR.items():
            self.rows[name].set_class(self.rows["method"].value not in methods, "-more")
        return result

    def show_choices(self, choices: Iterable[Choice], refused: WorkbenchError | None) -> None:
        """Say beside each open field what the engine takes, and at its field what it refuses."""
        self._chosen = {choice.key: choice for choice in choices}
        self._beyond = {}
        if refused is not None and (name := _named(refused, self._fields)):
            self._beyond[name] = _about(refused)
        self.check()
        for name, field in self._fields.items():
            row, choice = self.rows[name], self._chosen.get(name)
            taken = choice is not None and choice.chosen_by == "engine"
            row.set_class(taken, "-chosen")
            row.help_words = (
                f"→ {value_words(choice.value)}  {choice.reason}"
                if choice is not None and taken
                else field.brief
            )
            row.explain()
            if row.has_focus_within:
                self._explain(row)

    def wish(self) -> Wish | None:
        """The run that is described, or None while a field is refused."""
        recipe = self.check()
        self.rows["file"].complain("" if self.rows["file"].value else "choose a dataset first")
        if recipe is None or not self.rows["file"].value:
            return None
        value = {name: self.rows[name].value.strip() for name in ("file", "model", "name")}
        return Wish(value["file"], value["model"], recipe, value["name"] or None)

    def first_bad(self) -> FieldRow | None:
        """The topmost refused field."""
        return next((row for row in self.rows.values() if row.complaint), None)

    def toggle_more(self) -> bool:
        """Show every field, or the usual ones; True when every field is shown."""
        self.toggle_class("-all")
        return self.has_class("-all")

    # -- events ------------------------------------------------------------------------------

    def on_field_row_left(self, event: FieldRow.Left) -> None:
        event.stop()
        before = {name: row.complaint for name, row in self.rows.items()}
        self.check()
        if event.row.has_focus_within:
            self._explain(event.row)
        if event.row.field != "name" or before:
            self.post_message(self.Changed())

    def on_field_row_entered(self, event: FieldRow.Entered) -> None:
        event.stop()
        self._explain(event.row)

    def _explain(self, row: FieldRow) -> None:
        """The focused field in full: its docstring, what it takes, and what was chosen and why."""
        field, choice = self._fields.get(row.field), self._chosen.get(row.field)
        about = f"✗ {row.complaint}" if row.complaint else field.help if field else row.help_words
        more = [f"→ {value_words(choice.value)}: {choice.reason}"] if choice is not None else []
        more += [row.expected] if row.expected else []
        self.post_message(self.Explained(row.field, about, "\n".join(more)))


def _about(error: WorkbenchError) -> str:
    """The engine's message without the option, name and value, which stand beside it."""
    words = error.message.removeprefix("--set: ")
    _, found, expected = words.partition(": expected ")
    return f"expected {expected}" if found else words


def _named(error: WorkbenchError, fields: Iterable[str]) -> str | None:
    """The field that a message begins with; None where it is about something else."""
    words = re.match(r"\w+", error.message.removeprefix("--set: "))
    return words.group() if words and words.group() in set(fields) else None


def _blame(error: BadInput, fields: Iterable[str]) -> dict[str, str]:
    """A contradiction shown at the field that it names first."""
    return {_named(error, fields) or "max_steps": _about(error)}
