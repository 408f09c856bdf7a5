"""How answers are drawn: system prompt, sampling and its presets, length, seed.

Knows the settings and how they are typed. Does not know models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from engine.chat import presets
from screens.safe import line
from screens.widgets.modals import LineModal, PickModal, steady
from screens.widgets.textpad import TextPad
from store import library
from store.errors import Conflict, WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Settings:
    """Sampling and system prompt of a conversation; temperature 0 is greedy."""

    system: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def words(self, name: str = "") -> str:
        """`balanced · seed 3 · 256 tokens`, for the status line, where `name` is the preset's."""
        said = presets.words(self.sampling)
        if name:
            seed = f" · seed {self.seed}" if self.temperature else ""
            said = f"{name}{seed} · {self.max_tokens:,} tokens"
        return said + (" · system" if self.system else "")

    @property
    def sampling(self) -> dict[str, Any]:
        """How answers are drawn, without the system prompt; keys as in `engine.chat`."""
        values = asdict(self)
        del values["system"]
        return values

    def drawn(self, values: Mapping[str, Any]) -> Settings:
        """These settings with other values of sampling."""
        return replace(self, **presets.whole(values))


def read_settings(system: str, typed: dict[str, str]) -> Settings:
    """Settings from what was typed.

    Raises:
        BadInput: a value is no number or out of bounds; the setting is named.
    """
    return Settings(system).drawn({key: presets.number(key, typed[key]) for key in typed})


def pick_preset(cat: Catalogue, values: Mapping[str, Any]) -> PickModal:
    """A window to choose a preset in; the one with these values is marked."""
    items = [
        (one.name, f"{one.name:<12} {presets.words(one.values)}{'  · yours' if one.own else ''}")
        for one in presets.all(cat)
    ]
    return PickModal("Presets", items, current=presets.called(cat, values) or None)


class SettingsModal(ModalScreen[Settings | None]):
    """A form; `ctrl+s` or enter in a field accepts, `esc` leaves things as they were."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False, priority=True),
        Binding("ctrl+s", "accept", show=False, priority=True),
        Binding("ctrl+l", "load", show=False, priority=True),
        Binding("ctrl+k", "keep", show=False, priority=True),
    ]
    FIELDS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("temperature", "0 is greedy: the likeliest token"),
        ("top_k", "so many of the likeliest; 0: all"),
        ("top_p", "the likeliest up to this share"),
        ("min_p", "this share of the likeliest"),
        ("repetition_penalty", "above 1: fewer repetitions"),
        ("max_tokens", "longest answer"),
        ("seed", "same seed, same answer"),
    )

    def __init__(self, settings: Settings, cat: Catalogue) -> None:
        super().__init__()
        self.settings = settings
        self.cat = cat

    def compose(self) -> ComposeResult:
        values = self.settings.sampling
        with Container(classes="dialog settings") as frame:
            frame.border_title = "Settings"
            frame.border_subtitle = "ctrl+l load  ctrl+k keep by name  ctrl+s accept  esc cancel"
            yield Label("system prompt", markup=False)
            yield TextPad(self.settings.system, widget_id="system")
            for key, explained in self.FIELDS:
                with Container(classes="field"):
                    yield Label(key, markup=False)
                    yield steady(Input(_shown(values[key]), id=key, compact=True))
                    yield Static(Content.styled(explained, "$text-muted"), classes="explained")
            yield Static(id="complaint")

    def on_mount(self) -> None:
        self.query_one("#system", TextPad).focus()

    def on_input_submitted(self) -> None:
        self.action_accept()

    def read(self) -> Settings:
        """What is typed. Raises: BadInput."""
        typed = {key: self.query_one(f"#{key}", Input).value for key, _ in self.FIELDS}
        return read_settings(self.query_one("#system", TextPad).text, typed)

    def action_accept(self) -> None:
        with self._complaining():
            self.dismiss(self.read())

    def action_close(self) -> None:
        self.dismiss(None)

    # What is kept by name: a system prompt where that is written, else a preset

    @property
    def _of_system(self) -> bool:
        return self.focused is not None and self.focused.id == "system"

    def action_load(self) -> None:
        """Choose a system prompt or a preset."""
        if self._of_system:
            texts = library.all(self.cat, "system")
            if not texts:
                self._say("No system prompt is kept yet: ctrl+k keeps this one by name.")
                return
            items = [(kept.name, f"{kept.name}  {kept.text[:200]}") for kept in texts]
            self.app.push_screen(PickModal("System prompts", items), self._load_system)
            return
        values: dict[str, Any] = {}
        with suppress(WorkbenchError):  # what is typed is no preset then, and none is marked
            values = self.read().sampling
        self.app.push_screen(pick_preset(self.cat, values), self._load_preset)

    def _load_system(self, name: str | None) -> None:
        if name is not None:
            with self._complaining():
                self.query_one("#system", TextPad).load(library.find(self.cat, "system", name).text)

    def _load_preset(self, name: str | None) -> None:
        if name is not None:
            with self._complaining():
                for key, value in presets.find(self.cat, name).values.items():
                    self.query_one(f"#{key}", Input).value = _shown(value)

    def action_keep(self) -> None:
        """Keep the system prompt, or the values, by a name."""
        of_system = self._of_system

        def named(name: str | None) -> None:
            if name:
                self._keep(name, of_system=of_system)

        what = "system prompt" if of_system else "preset"
        self.app.push_screen(LineModal(f"Keep this {what} as", placeholder="a name"), named)

    def _keep(self, name: str, *, of_system: bool) -> None:
        with self._complaining():
            if of_system:
                words = self.query_one("#system", TextPad).text
                library.keep(self.cat, "system", name, words)
            else:
                presets.keep(self.cat, name, self.read().sampling)
            self._say(f"Kept as {name}: ctrl+l brings it back.")

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        """What is wrong is said below the fields."""
        try:
            yield
        except WorkbenchError as error:
            hint = error.hint
            if isinstance(error, Conflict):
                hint = "Take another name; q in the room deletes the old one."
            said = Content.styled("✗ ", "$text-error") + line(f"{error.message}. {hint}")
            self.query_one("#complaint", Static).update(said)

    def _say(self, words: str) -> None:
        self.query_one("#complaint", Static).update(line(words, "$text-muted"))


def _shown(value: float) -> str:
    return f"{value:.15g}"
