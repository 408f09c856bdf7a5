"""How answers are drawn: system prompt, temperature, length, seed.

Knows the settings and their bounds. Does not know models.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static, TextArea

from screens.safe import line
from screens.widgets.modals import steady
from store.errors import BadInput


@dataclass(frozen=True, slots=True)
class Settings:
    """Sampling and system prompt of a conversation; temperature 0 is greedy."""

    system: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0

    @property
    def words(self) -> str:
        """`greedy · 256 tokens`, for the status line."""
        drawn = "greedy" if self.temperature == 0 else f"temp {self.temperature:g}"
        seed = f" · seed {self.seed}" if self.temperature else ""
        system = " · system" if self.system else ""
        return f"{drawn}{seed} · {self.max_tokens:,} tokens{system}"

    @property
    def sampling(self) -> dict[str, Any]:
        """How answers are drawn, without the system prompt; keys as in `engine.chat`."""
        values = asdict(self)
        del values["system"]
        return values


def read_settings(system: str, typed: dict[str, str]) -> Settings:
    """Settings from what was typed.

    Raises:
        BadInput: a value is no number or out of bounds; the setting is named.
    """
    bounds = {"temperature": (0.0, 5.0), "top_p": (0.01, 1.0)}
    numbers: dict[str, float] = {}
    for key, (low, high) in bounds.items():
        numbers[key] = _number(key, typed[key], low, high)
    tokens = int(_number("max_tokens", typed["max_tokens"], 1, 100_000))
    seed = int(_number("seed", typed["seed"], 0, 2**53))
    return Settings(system, numbers["temperature"], numbers["top_p"], tokens, seed)


def _number(key: str, typed: str, low: float, high: float) -> float:
    hint = f"Give a number from {low:g} to {high:g}."
    try:
        value = float(typed)
    except ValueError as error:
        raise BadInput(f"{key}: expected a number, found '{typed}'", hint) from error
    if not low <= value <= high:
        raise BadInput(f"{key}: {typed} is out of bounds", hint)
    return value


class SettingsModal(ModalScreen[Settings | None]):
    """A short form; `ctrl+s` or enter in a field accepts, `esc` leaves things as they were."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False, priority=True),
        Binding("ctrl+s", "accept", show=False, priority=True),
    ]
    FIELDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("temperature", "0 is greedy: the likeliest token"),
        ("top_p", "only the likeliest, up to this share"),
        ("max_tokens", "longest answer"),
        ("seed", "same seed, same answer"),
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings

    def compose(self) -> ComposeResult:
        values = {**self.settings.sampling}
        with Container(classes="dialog settings") as frame:
            frame.border_title = "Settings"
            frame.border_subtitle = "ctrl+s accept  esc cancel"
            yield Label("system prompt", markup=False)
            yield TextArea(self.settings.system, id="system", compact=True)
            for key, explained in self.FIELDS:
                with Container(classes="field"):
                    yield Label(key, markup=False)
                    yield steady(Input(f"{values[key]:g}", id=key, compact=True))
                    yield Static(Content.styled(explained, "$text-muted"), classes="explained")
            yield Static(id="complaint")

    def on_input_submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        typed = {key: self.query_one(f"#{key}", Input).value for key, _ in self.FIELDS}
        try:
            self.dismiss(read_settings(self.query_one("#system", TextArea).text, typed))
        except BadInput as error:
            said = Content.styled("✗ ", "$text-error") + line(f"{error.message}. {error.hint}")
            self.query_one("#complaint", Static).update(said)

    def action_close(self) -> None:
        self.dismiss(None)
