"""The form that describes a run: what to train on, from what, and how.

Knows the recipe's fields by their own descriptions and asks the engine whether a value makes
sense. Does not know what training does with them, and starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from engine.train import recipe as recipes
from engine.train.recipe import RECIPE_FIELDS, Recipe, RecipeField
from screens.widgets.field import Cycle, FieldRow, Pick
from store.errors import BadInput

GROUPS: tuple[tuple[str, str, str], ...] = (
    ("Data and model", "test_size max_length", "train_sampling_strategy leave_out"),
    (
        "Length of training",
        "max_steps num_train_epochs per_device_train_batch_size",
        "gradient_accumulation_steps",
    ),
    ("LoRA", "r lora_alpha load_in_4bit", "lora_dropout target_modules use_rslora"),
    (
        "Optimiser",
        "learning_rate lr_scheduler_type warmup_steps",
        "weight_decay max_grad_norm optim seed",
    ),
    (
        "Evaluation and checkpoints",
        "eval_steps save_steps",
        "save_total_limit probes probe_steps probe_tokens",
    ),
)
"""Title, usual fields, further fields. Recipe fields that are nowhere here come last."""

OTHER = "Machine"
CHOICES = {"bool": ("true", "false"), "switch": recipes.SWITCH}


@dataclass(frozen=True, slots=True)
class Wish:
    """A run as the form describes it."""

    file: str
    model: str
    recipe: Recipe
    name: str | None


def grouped() -> list[tuple[str, list[RecipeField], list[RecipeField]]]:
    """The groups with their fields; every recipe field is in exactly one."""
    by_name = {field.name: field for field in RECIPE_FIELDS}
    found = [
        (title, [by_name.pop(name) for name in usual.split() if name in by_name],
         [by_name.pop(name) for name in more.split() if name in by_name])
        for title, usual, more in GROUPS
    ]  # fmt: skip
    return [*found, (OTHER, [], list(by_name.values()))]


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
        row = FieldRow(field.name, control, field.help, expected=field.expected, classes=classes)
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
                complaints = _blame(error, self.rows)
        for name in recipes.as_dict(self._preset):
            self.rows[name].complain(complaints.get(name, ""))
            self.rows[name].set_class(name in sets, "-changed")
        return result

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
        about = f"✗ {row.complaint}" if row.complaint else row.help_words
        self.post_message(self.Explained(row.field, about, row.expected))


def _about(error: BadInput) -> str:
    """The engine's message without the option, name and value, which stand beside it."""
    words = error.message.removeprefix("--set: ")
    _, found, expected = words.partition(": expected ")
    return f"expected {expected}" if found else words


def _blame(error: BadInput, rows: Mapping[str, FieldRow]) -> dict[str, str]:
    """A contradiction shown at the field that it names first."""
    words = _about(error)
    named = [name for name in rows if words.startswith(name)]
    return {max(named, key=len, default="max_steps"): words}
