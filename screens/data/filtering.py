"""The part of the Data room that lists only rows that fit an expression, or lists them in an order.

Knows the expression and what it found. The language is `engine.data.filter`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.content import Content
from textual.widgets import Input

from screens.data.asking import AskLine
from screens.data.scanning import Scanning
from screens.data.views import View
from screens.safe import line
from screens.widgets import words as words_of
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.data.background.client import AnyEvent


class Filtering(Scanning):
    """`f` filters, `S` sorts, `F` counts the values of a field."""

    @property
    def filter_line(self) -> AskLine:
        return self.query_one("#filter-line", AskLine)

    def action_filter(self) -> None:
        self.remove_class("-finding")
        self.add_class("-filtering")
        self.filter_line.input.value = ""
        self._hint()
        self.focus_on(self.filter_line.input)
        from engine.data.background.client import warm

        warm()

    def _hint(self) -> None:
        """The language in four lines."""
        from engine.data.filter import EXAMPLES, FIELDS, OPERATORS
        from engine.data.filter.fields import ROLE_NAMES

        lines = (
            ("fields", " ".join([*FIELDS, *ROLE_NAMES]) + " · keys as meta.source, len(PATH)"),
            ("signs", "  ".join(OPERATORS) + "  and or not ( )"),
            *(("as" if not at else "", f"{words:<38} {about}")
              for at, (words, about) in enumerate(EXAMPLES)),
        )  # fmt: skip
        shown = [
            Content.styled(f"{head:<7}", "$accent") + Content.styled(words, "$text-muted")
            for head, words in lines
        ]
        self.filter_line.below(Content("\n").join(shown))

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        if not self.has_class("-filtering"):
            return
        if not event.value.strip():
            self._hint()
            return
        self._complaint(event.value)

    def _complaint(self, words: str) -> bool:
        """Say what is wrong with an expression; True when something is."""
        from engine.data.filter import FilterError, parse

        try:
            parse(words)
        except FilterError as error:
            shown = line(error.message.removeprefix("filter, "), limit=200)
            caret = Content(" " * (error.column + 1)) + Content.styled("↓", "$text-error bold")
            hint = Content.styled(f"  {error.hint}", "$text-muted")
            self.filter_line.complain(shown + hint + Content("\n") + caret)
            return True
        except BadInput as error:
            self.filter_line.complain(line(error.message, limit=200))
            return True
        self.filter_line.below(None)
        return False

    @on(Input.Submitted, "#filter")
    def _filter_asked(self, event: Input.Submitted) -> None:
        words = event.value.strip()
        if words and self._complaint(words):
            return
        self.leave_filter()
        if words:
            self.filter_line.input.keep(words)
            self.filter_by(words)

    def leave_filter(self) -> None:
        """Close the line."""
        self.remove_class("-filtering")
        self.focus_on(self.rows)

    def stop_looking(self) -> bool:
        """End what was started last; False when nothing runs."""
        name = self.stop_newest()
        if name == "filter" and self.views and not self.views[-1].complete:
            self.take_off()
        return bool(name)

    def filter_by(self, words: str) -> None:
        """List the rows that fit, as they are found."""
        from engine.data.background.client import Filter
        from screens.data.rowset import narrowed, rows_of

        below = self.below()
        view = View(words, rows_of([]), complete=False)

        def hear(events: list[AnyEvent]) -> None:
            import numpy as np

            from engine.data.background.client import Done, Failed, Hits, Report

            parts = [
                self.rows_now("filter", event.rows) for event in events if isinstance(event, Hits)
            ]
            if parts:
                new = np.concatenate(parts)
                if below is None:
                    view.rows = np.concatenate([view.rows, new])
                else:
                    view.rows = narrowed(below, np.union1d(view.rows, new))
            for event in events:
                if isinstance(event, Failed):
                    self.views.remove(view)
                    self.show_view()
                    raise event.error()
                if isinstance(event, Report) and event.kind == "stale":
                    self.say(
                        f"{words_of.plural(event.body, 'row')} edited since the check: what it "
                        "found there is left out. ! and r look again."
                    )
                view.complete = view.complete or isinstance(event, Done)
            if view in self.views:
                self.show_view()

        self.lay(view)
        self.scan("filter", Filter(words, self.model_ref), hear, "filtering")
