"""The time machine of the Chat room: one column goes along checkpoints, or strengths of an adapter.

Knows references. Every step asks the last question again in that column alone and shows what it
changed; an answer that was given before is there at once. Does not know how a question is asked.
"""

from __future__ import annotations

from engine.models import refs
from screens.chat.column import Column
from screens.chat.shared import Shared

_PLUS = ".gguf+"
STRENGTH = 0.25
"""Step of an adapter's strength, and the least that keys reach."""


class Stepping(Shared):
    """A column whose model changes in steps."""

    def __init__(self) -> None:
        super().__init__()
        self._again: Column | None = None
        """The column that is asked again as soon as what it says now has been stopped."""

    def _step(self, by: int) -> None:
        """Go along the checkpoints of the column's run, oldest first; from a base, the newest's."""
        column = self.active
        steps = [ref for ref, _ in self.candidates() if ref.startswith("run:") and "@" in ref]
        ours, strength = _parts(column.ref)
        if not ours.startswith("run:"):
            ours = next(iter(steps), "")
        run = ours.partition("@")[0]
        ladder = [ref for ref in steps if ref.partition("@")[0] == run]
        if not ladder:
            self.say("There is no checkpoint yet. 2 goes to training.")
            return
        here = ours if "@" in ours else _parts(column.model)[0]
        if here not in ladder and column.ref.startswith(run):  # `run:ID` before it was asked
            here = _parts(refs.resolve(self.catalogue, run).ref)[0]
        if not column.ref.startswith(run):
            here = ""
        place = ladder.index(here) + by if here in ladder else len(ladder) - 1
        if 0 <= place < len(ladder):
            self._turn_to(column, _named(ladder[place], strength))
        else:
            self.say(f"{here} is the {'newest' if by > 0 else 'oldest'} checkpoint.")

    def action_older(self) -> None:
        self._step(-1)

    def action_newer(self) -> None:
        self._step(1)

    def action_stronger(self) -> None:
        self._strengthen(1)

    def action_weaker(self) -> None:
        self._strengthen(-1)

    def _strengthen(self, by: int) -> None:
        """Another strength of the column's adapter."""
        column = self.active
        ours = column.ref if "@" in column.ref or _PLUS in column.ref else column.model
        name, strength = _parts(ours)
        if not name.startswith("run:") and _PLUS not in name:
            self.say(f"{column.said_name} has no adapter that could be stronger or weaker.")
            return
        wanted = (round(strength / STRENGTH) + by) * STRENGTH
        if STRENGTH <= wanted <= refs.STRONGEST:
            self._turn_to(column, _named(name, wanted))
        else:
            self.say(f"From {STRENGTH:g} to {refs.STRONGEST:g}; m takes any, as {name}*0.1.")

    def _turn_to(self, column: Column, ref: str) -> None:
        """Another model in this column, which then answers the last question too."""
        if self.busy and self._answering != [column]:
            self.say("Still answering. esc stops.")
            return
        asked = bool(column.context)
        before = column.done
        column.set_model(ref)
        if self.busy:
            self._again = column
            self.action_stop()
        elif asked:
            known = self.recalled(column, ref)
            if known is None:
                self.ask_again([column])
            elif known is not before:
                column.again()
                column.finish(known)
                self.answered()

    def answered(self) -> None:
        """An answer that was stopped because another model was chosen: ask that one."""
        super().answered()
        column, self._again = self._again, None
        if column is not None and column.is_mounted:
            known = self.recalled(column, column.ref)
            if known is None:
                self.ask_again([column])
            else:
                column.again()
                column.finish(known)


def _parts(ref: str) -> tuple[str, float]:
    """A reference and the strength of its adapter: `run:1@40*0.5` is (`run:1@40`, 0.5)."""
    name, star, _ = ref.rpartition("*")
    if star and (ref.startswith("run:") or _PLUS in ref):
        return name, refs.parse(ref).strength
    return ref, 1.0


def _named(name: str, strength: float) -> str:
    return name if strength == 1 else f"{name}*{strength:g}"
