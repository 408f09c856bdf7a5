"""The part of the Data room that puts the rows in an order, or counts the values of a field.

Knows which fields there are to choose from. Sorting and counting is another process's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from screens.data.filtering import Filtering
from screens.data.views import View

if TYPE_CHECKING:
    from engine.data.background.client import AnyEvent

MOST_PATHS = 40
_SORTABLE = ("bytes", "tokens", "turns", "chars", "chars:assistant", "chars:user", "finding", "tag")
_COUNTABLE = ("shape", "dialect", "roles", "turns", "finding", "tag", "part", "error")


class Sorting(Filtering):
    """`S` and `F`."""

    def _paths(self) -> list[str]:
        """Places of single values in the row under the cursor."""
        try:
            value = json.loads(self.open_document.raw(self.rows.number))
        except (ValueError, RecursionError):
            return []
        found: list[str] = []
        todo: list[tuple[str, object]] = [("", value)]
        while todo and len(found) < MOST_PATHS:
            place, item = todo.pop(0)
            inside: list[tuple[str, object]] = []
            if isinstance(item, dict):
                inside = [(key, deeper) for key, deeper in item.items() if key.isidentifier()]
            elif isinstance(item, list):
                inside = [(str(index), deeper) for index, deeper in enumerate(item[:8])]
            elif place:
                found.append(place)
            todo += [(f"{place}.{key}" if place else key, deeper) for key, deeper in inside]
        return found

    def _choose(self, names: tuple[str, ...]) -> list[tuple[str, str]]:
        from engine.data.filter.fields import FIELDS

        items = []
        for name in names:
            about = FIELDS[name].about if name in FIELDS else f"of the {name.partition(':')[2]}"
            items.append((name, f"{name:<18} {about}"))
        return items + [(path, f"{path:<18} a value of the row") for path in self._paths()]

    def action_sort(self) -> None:
        """List the rows in another order."""
        from screens.widgets.modals import PickModal

        items = []
        for name, label in self._choose(_SORTABLE):
            items += [(f"-{name}", f"↓ {label}"), (name, f"↑ {label}")]

        def chosen(key: str | None) -> None:
            if key is not None:
                self.sort_by(key.removeprefix("-"), reverse=key.startswith("-"))

        self.app.push_screen(
            PickModal("Sort by · ↓ largest first", items, placeholder="a field or a path of keys",
                      free=True),
            self.guarded(chosen),
        )  # fmt: skip

    def sort_by(self, key: str, *, reverse: bool) -> None:
        """List what is listed in the order of a field, once that is known."""
        from engine.data.background.client import Order
        from screens.data.rowset import narrowed

        def hear(events: list[AnyEvent]) -> None:
            from engine.data.background.client import Failed, Hits

            for event in events:
                if isinstance(event, Failed):
                    raise event.error()
                if isinstance(event, Hits) and len(event.rows):
                    order = self.rows_now("sort", event.rows)
                    if self.views and self.views[-1].ordered:
                        self.views.pop()
                    below = self.below()
                    if below is not None:
                        order = narrowed(order, below)
                    self.lay(View(f"by {key} {'↓' if reverse else '↑'}", order, ordered=True))
                    self.rows.action_top()

        self.scan("sort", Order(key, reverse, self.model_ref), hear, "sorting")

    def action_frequency(self) -> None:
        """Choose a field whose values are counted."""
        from screens.widgets.modals import PickModal

        def chosen(field: str | None) -> None:
            if field is not None:
                self.count_values(field)

        self.app.push_screen(
            PickModal("Count the values of", self._choose(_COUNTABLE),
                      placeholder="a field or a path of keys, as meta.source", free=True),
            self.guarded(chosen),
        )  # fmt: skip

    def count_values(self, field: str) -> None:
        """Show how often each value of a field is there; the chosen one becomes a filter."""
        from engine.data.background.client import Frequency
        from screens.data.valuelist import ValueList

        window = ValueList(field)

        def hear(events: list[AnyEvent]) -> None:
            from engine.data.background.client import Done, Failed, Table

            for event in events:
                if isinstance(event, Failed):
                    window.fail(event.message)
                elif isinstance(event, Table):
                    window.take(event)
                elif isinstance(event, Done):
                    window.finish()

        def chosen(words: str | None) -> None:
            self.stop_scan("frequency")
            self.tell()
            if words is not None:
                self.filter_by(words)

        self.app.push_screen(window, self.guarded(chosen))
        self.scan("frequency", Frequency(field, model=self.model_ref), hear, "counting")
