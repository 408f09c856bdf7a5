"""The library on the screen: prompts and system prompts by name, found by a few letters.

Knows the library and the text that may be kept. Does not know where a chosen text goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.fuzzy import Matcher
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from screens.safe import line, text
from screens.widgets.modals import Choice, ChoiceModal, LineModal, PickModal, dialog, steady
from store import library
from store.catalogue import Catalogue
from store.errors import WorkbenchError
from store.library import Kept, Kind

_SIGNS = {"prompt": "prompt ", "system": "system ", "preset": "preset "}
_EMPTY = "Nothing is kept yet: write a prompt, then ctrl+k here keeps it by name."


class Shelf(PickModal):
    """Choose a text; keep, rename and delete them. Answers `kind:name`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+k", "keep", show=False, priority=True),
        Binding("ctrl+r", "rename", show=False, priority=True),
        Binding("ctrl+x", "delete", show=False, priority=True),
    ]

    def __init__(self, cat: Catalogue, draft: str) -> None:
        """Args: draft: what is written now, which may be kept."""
        super().__init__("Prompts", ())
        self.cat = cat
        self.draft = draft
        self.kept: dict[str, Kept] = {}

    def compose(self) -> ComposeResult:
        yield dialog(
            "Prompts",
            "⏎ take  ctrl+k keep yours  ctrl+r rename  ctrl+x delete  esc",
            steady(Input(placeholder="some letters of its name")),
            OptionList(),
            Static(classes="taste"),
            classes="-broad shelf",
        )

    def on_mount(self) -> None:
        self.read()

    def read(self, current: str | None = None) -> None:
        """Look at the library again."""
        self.kept = {f"{one.kind}:{one.name}": one for one in library.all(self.cat)}
        self.current = current
        self._fill(self.query_one(Input).value)

    def _fill(self, typed: str) -> None:
        options = self.query_one(OptionList)
        options.can_focus = False
        options.clear_options()
        self._shown = self._found(typed)
        for value in self._shown:
            one = self.kept[value]
            words = Content.styled(_SIGNS[one.kind], "$text-muted") + line(one.name, "bold")
            words += line(f"  {' '.join(one.text[:160].split())}", "$text-muted")
            options.add_option(Option(words))
        if self._shown:
            here = self._shown.index(self.current) if self.current in self._shown else 0
            options.highlighted = here
        else:
            self._taste(line("Nothing is called like that." if typed else _EMPTY, "$text-muted"))

    def _found(self, typed: str) -> list[str]:
        """Those whose name has the letters in this order, the closest first; then by their text."""
        if not typed.strip():
            return list(self.kept)
        matcher = Matcher(typed.strip())
        scores = {}
        for value, one in self.kept.items():
            score = matcher.match(one.name)
            if not score and typed.strip().casefold() in one.text.casefold():
                score = 0.001
            if score:
                scores[value] = score
        return sorted(scores, key=lambda value: -scores[value])

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index < len(self._shown):
            self._taste(text(self.kept[self._shown[event.option_index]].text, limit=600))

    def _taste(self, words: Content) -> None:
        self.query_one(".taste", Static).update(words)

    @property
    def _here(self) -> Kept | None:
        place = self.query_one(OptionList).highlighted
        return self.kept[self._shown[place]] if self._shown and place is not None else None

    def _trying(self, change: Callable[[], Kept | None]) -> None:
        """Change the library; what is wrong is said below."""
        try:
            made = change()
        except WorkbenchError as error:
            said = Content.styled("✗ ", "$text-error") + line(f"{error.message}. {error.hint}")
            self._taste(said)
        else:
            self.read(None if made is None else f"{made.kind}:{made.name}")

    # Keys

    def action_keep(self) -> None:
        """Keep what is written, by the name that is typed."""
        if not self.draft.strip():
            self._taste(line("! There is nothing in the prompt to keep.", "$text-warning"))
            return
        title = f"Keep the {len(self.draft):,} characters of the prompt as"

        def named(name: str | None) -> None:
            if not name:
                return
            if f"prompt:{' '.join(name.split())}" not in self.kept:
                self._trying(lambda: library.keep(self.cat, "prompt", name, self.draft))
                return

            def said(answer: str | None) -> None:
                if answer == "yes":
                    self._trying(
                        lambda: library.keep(self.cat, "prompt", name, self.draft, replace=True)
                    )

            question = line(f"There is a prompt '{name}' already.")
            yes, no = Choice("r", "replace it", "yes"), Choice("n", "keep the old one", "no")
            self.app.push_screen(ChoiceModal("Replace?", question, (yes, no)), said)

        self.app.push_screen(LineModal(title, value=self.query_one(Input).value), named)

    def action_rename(self) -> None:
        here = self._here
        if here is None:
            return

        def named(name: str | None) -> None:
            if name:
                self._trying(lambda: library.rename(self.cat, here.kind, here.name, name))

        self.app.push_screen(LineModal("Rename", value=here.name), named)

    def action_delete(self) -> None:
        here = self._here
        if here is None:
            return

        def gone() -> None:
            library.delete(self.cat, here.kind, here.name)

        def said(answer: str | None) -> None:
            if answer == "yes":
                self._trying(gone)

        question = line(f"Delete {_SIGNS[here.kind]}'{here.name}'?")
        yes, no = Choice("d", "delete it", "yes"), Choice("n", "leave it", "no")
        self.app.push_screen(ChoiceModal("Delete", question, (yes, no)), said)


def taken(value: str) -> tuple[Kind, str]:
    """Kind and name of what the shelf answered."""
    kind, _, name = value.partition(":")
    return cast(Kind, kind), name
