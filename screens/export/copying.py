"""What can be copied of an export: lines that run, serve or import it, and where it lies.

Knows titles and texts. The lines are the engine's; which of them a person wants it asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from engine.export import lines
from engine.export.lines import Lines
from screens.export.proof import proof_file
from screens.safe import line, text
from screens.widgets.modals import dialog

if TYPE_CHECKING:
    from screens.export.ledger import Record
    from store.catalogue import Catalogue


def copyable(cat: Catalogue, record: Record) -> list[Lines]:
    """Everything there is to copy of an export or a foreign file.

    Raises:
        WorkbenchError: it is gone, or the model it was made of is.
    """
    found = [Lines("path", str(record.path))]
    if record.export is not None:
        found += lines.lines_of(cat, record.export)
    elif record.gguf is not None:
        found.append(lines.served(record.gguf))
    proof = proof_file(record)
    if proof is not None:
        found.append(Lines("proof (JSON)", str(proof)))
    return found


class CopyModal(ModalScreen[str | None]):
    """Titles, below them the text of the one under the cursor; answers with a text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,y,q", "close", show=False),
        Binding("j", "move(1)", show=False),
        Binding("k", "move(-1)", show=False),
    ]

    def __init__(self, found: Sequence[Lines]) -> None:
        super().__init__()
        self.found = tuple(found)

    def compose(self) -> ComposeResult:
        options = OptionList(*(Option(line(one.title)) for one in self.found))
        with dialog("Use it", "↑↓ move  ⏎ copy  esc cancel", options, classes="-broad -copy"):
            yield VerticalScroll(Static(id="copy-text"), can_focus=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        shown = self.found[event.option_index].text
        self.query_one("#copy-text", Static).update(text(shown))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self.found[event.option_index].text)

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        options.highlighted = ((options.highlighted or 0) + by) % len(self.found)

    def action_close(self) -> None:
        self.dismiss(None)
