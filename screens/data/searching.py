"""The part of the Data room that finds words: as they are typed, in another process.

Knows what is looked for and which rows have it, so far. Does not know how rows are searched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input

from screens.data.asking import AskLine
from screens.data.scanning import Scanning
from screens.safe import line
from store.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.data.background.client import AnyEvent, Request
    from engine.data.find import Pattern
    from engine.data.journal.shift import Shift
    from screens.data.rowset import Rows

    Spans = Callable[[str], Sequence[tuple[int, int]]]

TYPING_SECONDS = 0.12
"""Rest of the fingers after which what was typed is looked for."""


class Searching(Scanning):
    """`/`, `n`, `N`: hits are counted while one goes from one to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.sought = ""
        self.regex = False
        self.exact_case = False
        self._find_hits: Rows | None = None
        self._find_places: tuple[int, int, Rows] | None = None
        """Places of the hits in the list, and what they were worked out for."""
        self._find_done = True
        self._find_step = 0
        """Where to go as soon as there is a hit: 1 on, -1 back, 0 nowhere."""
        self._find_origin = 1
        self._find_timer: Timer | None = None

    @property
    def find_line(self) -> AskLine:
        return self.query_one("#find-line", AskLine)

    def action_find(self) -> None:
        self._find_origin = self.rows.number
        self.remove_class("-filtering")
        self.add_class("-finding")
        self.find_line.input.value = ""
        self.find_line.complain(None)
        self.tell_find()
        self.focus_on(self.find_line.input)
        from engine.data.background.client import warm

        warm()

    @on(Input.Changed, "#find")
    def _find_typed(self, _event: Input.Changed) -> None:
        if self._find_timer is not None:
            self._find_timer.stop()
        if self.has_class("-finding"):
            self._find_timer = self.set_timer(TYPING_SECONDS, self._find_now)

    def _find_now(self) -> None:
        """Look for what stands in the line, and show the first row from here on that has it."""
        self._find_timer = None
        words = self.find_line.input.value
        if words == self.sought:
            return
        self.stop_finding()
        if not words:
            self.jump(self._find_origin)
            return
        pattern = self._find_pattern(words)
        if pattern is None:
            return
        from engine.data.background.client import Search

        request = Search(words, self.regex, self.exact_case or None)
        self.look_for(words, request, pattern.spans)

    def look_for(self, words: str, request: Request, spans: Spans | None = None) -> None:
        """Go to the first row from here on that a scan finds; `n` and `N` go on."""
        self.stop_finding()
        self.sought = words
        self.rows.spans = self.side.spans = spans
        self.rows.forget()
        self._find_step = 1
        self.scan("find", request, self._hear_find, "searching")

    def _find_pattern(self, words: str) -> Pattern | None:
        """What was typed as a pattern; None where it is not one yet, and why is said."""
        from engine.data.find import Pattern

        try:
            pattern = Pattern.compile(words, regex=self.regex, case=self.exact_case or None)
        except BadInput as error:
            self.find_line.complain(line(error.message))
            return None
        self.find_line.complain(None)
        return pattern

    def _hear_find(self, events: list[AnyEvent]) -> None:
        """More rows were found, or that was all, or the search failed."""
        import numpy as np

        from engine.data.background.client import Done, Failed, Hits

        for event in events:
            if isinstance(event, Hits) and len(event.rows):
                new, known = self.rows_now("find", event.rows), self._find_hits
                self._find_hits = new if known is None else np.union1d(known, new)
            elif isinstance(event, Failed):
                self.stop_finding()
                raise event.error()
        self._find_done = isinstance(events[-1], Done)
        if self._find_step:
            self._go_to_hit(self._find_step, from_here=True)
        self.tell_find()

    @on(Input.Submitted, "#find")
    def _find(self, event: Input.Submitted) -> None:
        if self._find_timer is not None:
            self._find_timer.stop()
            self._find_now()
        if event.value and not self.sought:
            return
        self.remove_class("-finding")
        if event.value:
            self.find_line.input.keep(event.value)
        self.focus_on(self.rows)
        self.tell()

    def action_find_next(self) -> None:
        self._go_to_hit(1)

    def action_find_previous(self) -> None:
        self._go_to_hit(-1)

    def action_next_bad(self) -> None:
        """The next row that cannot be read."""
        from engine.data.background.client import Filter

        words = "rows that cannot be read"
        if self.sought == words:
            self._go_to_hit(1)
        else:
            self.rows.move(1)
            self.look_for(words, Filter("bad"))

    def action_find_regex(self) -> None:
        """Words or a regular expression."""
        self.regex = not self.regex
        self._find_again()

    def action_find_case(self) -> None:
        """Any case (capitals in the words make it exact), or exactly as typed."""
        self.exact_case = not self.exact_case
        self._find_again()

    def _find_again(self) -> None:
        words = self.find_line.input.value or self.sought
        self.stop_finding()
        self.find_line.input.value = words
        self._find_now()
        self.tell_find()

    def stop_finding(self) -> bool:
        """Forget the search; False when there was none."""
        was = bool(self.sought)
        self.stop_scan("find")
        self.sought, self._find_hits, self._find_places = "", None, None
        self._find_step, self._find_done = 0, False
        if was:
            self.rows.spans = self.side.spans = None
            self.rows.forget()
            self.show_row()
        self.tell_find()
        return was

    def leave_finding(self) -> None:
        """`esc` in the line: as it was before."""
        self.remove_class("-finding")
        if self._find_timer is not None:
            self._find_timer.stop()
            self._find_timer = None
        if self.stop_finding():
            self.jump(self._find_origin)

    def shift_rows(self, shift: Shift) -> None:
        super().shift_rows(shift)
        if self._find_hits is not None:
            from screens.data.rowset import shifted

            self._find_hits, self._find_places = shifted(self._find_hits, shift), None

    def _hit_places(self) -> Rows | None:
        """Places in the list of the rows that were found."""
        import numpy as np

        if self._find_hits is None:
            return None
        known = self._find_places
        if known is None or known[:2] != (id(self.rows.order), len(self._find_hits)):
            order = self.rows.order
            places = (
                self._find_hits - 1
                if order is None
                else np.flatnonzero(np.isin(order, self._find_hits))
            )
            known = self._find_places = (id(order), len(self._find_hits), places)
        return known[2]

    def _go_to_hit(self, step: int, *, from_here: bool = False) -> None:
        """Go to the next hit in a direction, round at the end; wait for one that may still come."""
        import numpy as np

        places = self._hit_places()
        if not self.sought:
            return
        at = self.rows.cursor
        scanning = not self._find_done
        if places is None or not len(places):
            self._find_step = step if scanning else 0
            if not scanning and not self.has_class("-finding"):
                self.say(f"Nowhere: {self.sought}")
            return
        if step > 0:
            found = int(np.searchsorted(places, at, side="left" if from_here else "right"))
            if found == len(places) and scanning:
                self._find_step = step
                return
            found %= len(places)
        else:
            found = int(np.searchsorted(places, at, side="left")) - 1
        self._find_step = 0
        self.rows.cursor = int(places[found])
        self.tell_find()
        self.tell()

    def find_words(self) -> Content:
        """`/ words · 12 of 40`."""
        if not self.sought:
            return Content("")
        places = self._hit_places()
        count = 0 if places is None else len(places)
        more = "" if self._find_done else "+"
        here = ""
        if places is not None and count:
            import numpy as np

            found = int(np.searchsorted(places, self.rows.cursor))
            if found < count and int(places[found]) == self.rows.cursor:
                here = f"{found + 1:,} of "
        said = Content.styled(f"{here}{count:,}{more}", "$text-warning" if count else "$text-muted")
        return said if count or more else Content.styled("nowhere", "$text-error")

    def tell_find(self) -> None:
        """Say beside the words how many rows have them."""
        regex = Content.styled(" ctrl+g .*", "$accent bold" if self.regex else "$text-muted")
        case = Content.styled(" ctrl+y Aa", "$accent bold" if self.exact_case else "$text-muted")
        self.find_line.note(self.find_words() + regex + case + Content(" "))
