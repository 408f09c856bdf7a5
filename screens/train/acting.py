"""What the keys ask of a run: pause, stop, checkpoints, queue, overlays, going on, beginning anew.

Knows the engine's client and the lists over the panel. Does not train and does not draw.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from textual import on, work
from textual.content import Content
from textual.message import Message

from engine.train import orders, queue
from screens.base import ChatWith, ExportRef
from screens.safe import line
from screens.train.lists import (
    Kept,
    Keys,
    Rows,
    RowsModal,
    WordsModal,
    checkpoint_rows,
    overlay_rows,
)
from screens.train.meaning import full_words
from screens.train.watch import WatchRoom
from screens.widgets import words
from screens.widgets.ink import run_colour
from screens.widgets.modals import LineModal
from store import pins, runs
from store.catalogue import Catalogue
from store.errors import BadInput
from store.runs import Run

_UNITS = {"step": "max_steps", "epoch": "epochs", "token": "tokens", "minute": "minutes",
          "min": "minutes", "hour": "hours"}  # fmt: skip
_LENGTHS = "200 steps, 1.5 epochs, 2000000 tokens or 90 min"


class Begun(Message):
    """A run was started, resumed, extended or forked."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run


class Pinned(Message):
    """A checkpoint was pinned, or is so no longer."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step


def longer(said: str) -> Callable[[Catalogue, int], Run]:
    """`200`, `200 steps`, `1.5 epochs`, `2000000 tokens`, `90 min` as what the client does.

    Raises:
        BadInput: it is none of these.
    """
    found = re.fullmatch(r"\s*([\d_,.]+)\s*([a-z]*?)s?\s*", said.lower())
    unit = _UNITS.get((found.group(2) if found else "") or "step")
    number = found.group(1).replace(",", "").replace("_", "") if found else ""
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if unit is None or value <= 0:
        raise BadInput(
            f"{said!r} is no length", "Say 1200 steps, 4 epochs, 2000000 tokens or 90 min."
        )
    from engine.train.extending import extend

    if unit == "max_steps":
        return partial(extend, max_steps=round(value))
    if unit == "tokens":
        return partial(extend, tokens=round(value))
    if unit == "epochs":
        return partial(extend, epochs=value)
    return partial(extend, minutes=value * (60 if unit == "hours" else 1))


class ActRoom(WatchRoom):
    """A room that shows a run and does things with it."""

    def action_pause(self) -> None:
        self._ask(orders.pause, "It will save, pause and let go of the device.")

    def action_stop(self) -> None:
        self._ask(orders.stop, "It will stop after this step and keep a checkpoint.")

    def action_checkpoint(self) -> None:
        self._ask(orders.checkpoint_now, "A checkpoint will be written after this step.")

    def _ask(self, command: Callable[[Catalogue, int], Run], said: str) -> None:
        if self.run_id is not None:
            command(self.catalogue, self.run_id)
            self.say(said)

    def action_resume(self) -> None:
        run_id = self.run_id

        def resume(cat: Catalogue) -> Run:
            from engine.train.client import resume

            assert run_id is not None
            return resume(cat, run_id)

        if run_id is not None:
            self._begin(resume)

    def _begin(self, begin: Callable[[Catalogue], Run]) -> None:
        self.say("It is being started.")
        self._begin_in_thread(begin)

    @work(thread=True, exclusive=True, group="start", exit_on_error=False)
    def _begin_in_thread(self, begin: Callable[[Catalogue], Run]) -> None:
        with self.open_catalogue() as cat:
            self.post_message(Begun(begin(cat)))

    def action_meaning(self) -> None:
        if self.look is not None and self.look.verdicts:
            self.app.push_screen(WordsModal("What this means", full_words(self.look.verdicts)))

    # -- other runs --------------------------------------------------------------------------

    def action_overlay(self) -> None:
        everyone = runs.all(self.catalogue)

        def rows() -> Rows:
            return overlay_rows(everyone, self.run_id, self.others)

        def toggle(value: str, *, close: bool) -> bool:
            run_id = int(value)
            if run_id in self.others:
                self.others.remove(run_id)
            else:
                self.others.append(run_id)
            self.look_now()
            return close

        keys: Keys = [("space", "on or off", partial(toggle, close=False)),
                ("enter", "on or off, and close", partial(toggle, close=True))]  # fmt: skip
        empty = "There is no other run to lay over this one yet."
        self.app.push_screen(RowsModal("Lay over", rows, keys, empty))

    def action_queue(self) -> None:
        def rows() -> Rows:
            return [
                (
                    str(waiter.run.id),
                    Content.assemble(
                        (f"{waiter.position:>2}  ", "bold"),
                        ("● ", run_colour(waiter.run.id)),
                        (f"run {waiter.run.id}  ", "$foreground 60%"),
                        line(waiter.run.name, limit=40),
                        ("" if waiter.alive else "  its process is gone: s starts it again",
                         "$text-warning"),
                    ),
                )
                for waiter in queue.queue(self.catalogue)
            ]  # fmt: skip

        def move(value: str, by: int) -> bool:
            places = {str(w.run.id): w.position for w in queue.queue(self.catalogue)}
            if value in places and 1 <= places[value] + by <= len(places):
                queue.reorder(self.catalogue, int(value), places[value] + by)
            return False

        def cancel(value: str) -> bool:
            queue.cancel(self.catalogue, int(value))
            return False

        def again(_value: str) -> bool:
            queue.start_again(self.catalogue)
            return False

        keys: Keys = [("K", "earlier", partial(move, by=-1)), ("J", "later", partial(move, by=1)),
                ("x", "take out", cancel), ("s", "start again", again)]  # fmt: skip
        empty = "No run waits. A run started while another trains waits here for its turn."
        self.app.push_screen(RowsModal("Queue · the first goes next", rows, keys, empty))

    # -- checkpoints -------------------------------------------------------------------------

    def action_checkpoints(self) -> None:
        if self.look is None:
            return
        run = self.look.run
        folder = self.workspace.run_dir(run.id)

        def rows() -> Rows:
            pinned = pins.pinned(folder)
            kept = self.look.checkpoints if self.look is not None else ()
            return checkpoint_rows(
                [Kept(item, item.step in pinned, item.step == run.best_step) for item in kept]
            )

        def pin(value: str) -> bool:
            self._pin(run.id, int(value), int(value) not in pins.pinned(folder))
            return False

        def fork(value: str) -> bool:
            self.app.call_later(self._fork_from, run.id, int(value))
            return True

        def chat(value: str) -> bool:
            self.shell.visit(ChatWith((run.model, f"run:{run.id}@{value}")))
            return True

        def export(value: str) -> bool:
            self.shell.visit(ExportRef(f"run:{run.id}@{value}"))
            return True

        keys: Keys = [("p", "pin or unpin", pin), ("f", "fork", fork), ("c", "chat", chat),
                ("e", "export", export)]  # fmt: skip
        empty = "No checkpoint yet. k writes one after the next step."
        self.app.push_screen(RowsModal(f"Checkpoints of run {run.id}", rows, keys, empty))

    @work(thread=True, group="pin", exit_on_error=False)
    def _pin(self, run_id: int, step: int, wanted: bool) -> None:
        with self.open_catalogue() as cat:
            (orders.pin if wanted else orders.unpin)(cat, run_id, step)
        self.post_message(Pinned(step))

    @on(Pinned)
    def _pinned(self, event: Pinned) -> None:
        if isinstance(self.app.screen, RowsModal):
            self.app.screen.fill(str(event.step))
        self.look_now()

    def action_fork(self) -> None:
        if self.look is not None and self.look.checkpoints:
            self._fork_from(self.look.run.id, self.look.checkpoints[-1].step)

    def _fork_from(self, run_id: int, step: int) -> None:
        def said(text: str | None) -> None:
            if text is not None:
                from engine.train.forking import fork

                sets = text.split()
                self._begin(lambda cat: fork(cat, run_id, step, sets))

        modal = LineModal(
            f"Fork run {run_id} from step {step:,}",
            placeholder="what is set differently: learning_rate=5e-5 max_steps=400",
        )
        self.app.push_screen(modal, self.guarded(said))

    def action_extend(self) -> None:
        if self.look is None:
            return
        run = self.look.run

        def said(text: str | None) -> None:
            if text is not None:
                more = longer(text)
                self._begin(lambda cat: more(cat, run.id))

        def wrong(text: str) -> str | None:
            try:
                longer(text)
            except BadInput as error:
                return f"{error.message}. {error.hint}"
            return None

        modal = LineModal(
            f"Train run {run.id} on, by",
            value=f"{run.total_steps or run.step} steps",
            placeholder=_LENGTHS,
            check=wrong,
        )
        self.app.push_screen(modal, self.guarded(said))

    # -- other rooms -------------------------------------------------------------------------

    def action_chat(self) -> None:
        if self.look is not None:
            run = self.look.run
            self.shell.visit(ChatWith((run.model, f"run:{run.id}")))

    def action_export(self) -> None:
        if self.look is not None:
            self.shell.visit(ExportRef(f"run:{self.look.run.id}"))

    @on(Begun)
    def _begun(self, event: Begun) -> None:
        self.attach(event.run.id)
        self.shell.look_at_runs()

    def attach(self, run_id: int) -> None:
        """Show a run and follow it while it lives."""
        raise NotImplementedError

    def can_act(self, action: str) -> bool:
        """Whether an action has something to do with the run that is shown."""
        run = self.look.run if self.look else None
        status = run.status if run else None
        kept = self.look is not None and bool(self.look.checkpoints)
        return {
            "stop": status in words.ALIVE,
            "checkpoint": status in words.ALIVE,
            "chat": kept,
            "export": kept,
            "fork": kept,
            "pause": status in words.ALIVE,
            "resume": status in ("paused", "stopped", "failed", "lost"),
            "extend": run is not None and status != "queued",
            "meaning": self.look is not None and bool(self.look.verdicts),
        }.get(action, True)
