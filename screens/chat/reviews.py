"""The part of the Chat room that opens reviews, and asks the models for what is to be judged.

Knows questions by where they come from. Judging itself is `ReviewScreen`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.message import Message
from textual.worker import get_current_worker

from screens.base import ReviewRun, Visit
from screens.chat.judging import Judging
from store import votes
from store.errors import Conflict, WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from screens.chat.reviewing import ReviewScreen
    from store.votes import Review

MOST_ASKED = 50
"""Questions of a review that is begun here."""
_HELD_OUT, _DATASET = "held-out", "dataset"
_SEVERAL, _ALONE = "several", "alone"


class ReviewBegun(Message):
    """A worker laid out a review."""

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.review = review


class ReviewAnswered(Message):
    """A worker asked more of a review; `asking` while it goes on."""

    def __init__(self, screen: ReviewScreen, *, asking: bool) -> None:
        super().__init__()
        self.screen = screen
        self.asking = asking


class Reviews(Judging):
    """Many answers, judged one after the other."""

    _back = ""
    """The room that asked for a review; empty where it was asked for here."""

    def receive(self, visit: Visit) -> None:
        """Judge a run's checkpoints, where another room asks for that."""
        if isinstance(visit, ReviewRun):
            self._back = "runs"
            self.review_run(visit.run_id)
        else:
            super().receive(visit)

    def review_run(self, run_id: int) -> None:
        """Go on with a review of a run, or begin one of its checkpoints or of one alone."""
        from engine.models.refs import resolve
        from engine.votes import review
        from screens.widgets.modals import PickModal

        models = review.of_run(self.catalogue, run_id)
        best = resolve(self.catalogue, f"run:{run_id}").ref
        steps = " ".join(ref.partition("@")[2] and f"@{ref.partition('@')[2]}" for ref in models)
        items = [
            (_SEVERAL, f"new: {models[0]} and {steps.strip()}, two at a time"),
            (_ALONE, f"new: {best} alone, each answer good or bad"),
        ]
        for held in votes.reviews(self.catalogue):
            if any(ref.startswith(f"run:{run_id}@") for ref in held.models):
                items.append(self._held(held))

        def picked(value: str | None) -> None:
            if value == _SEVERAL:
                self._begin_review(models, None)
            elif value == _ALONE:
                self._begin_review([best], None)
            elif value is not None:
                self._open_review(votes.review(self.catalogue, int(value)))
            else:
                self._go_back()

        title = f"Review of run {run_id} · {MOST_ASKED} questions, blind, one key each"
        self.app.push_screen(PickModal(title, items), self.guarded(picked))

    def _go_back(self) -> None:
        """To the room that asked for the review."""
        if self._back:
            room, self._back = self._back, ""
            self.app.call_later(self.app.run_action, f"app.go('{room}')")

    def _held(self, held: Review) -> tuple[str, str]:
        """A review that was begun, for a list."""
        found = votes.items(self.catalogue, held.id)
        judged = sum(item.vote is not None for item in found)
        return str(held.id), f"{judged} of {len(found)} judged · {held.name}"

    def action_review(self) -> None:
        """Go on with a review, or begin one of the models in the columns."""
        from screens.widgets.modals import PickModal

        models = list(dict.fromkeys(column.ref for column in self.columns))
        names = " and ".join(models)
        items = [
            (_HELD_OUT, f"new: {names} on rows that were not trained on"),
            (_DATASET, f"new: {names} on questions of a dataset …"),
        ]
        items += [self._held(held) for held in votes.reviews(self.catalogue)]

        def from_file(path: Path) -> None:
            self._begin_review(models, path)

        def picked(value: str | None) -> None:
            if value == _DATASET:
                self.choose_dataset(from_file)
            elif value == _HELD_OUT:
                self._begin_review(models, None)
            elif value is not None:
                self._open_review(votes.review(self.catalogue, int(value)))

        title = f"Review · {MOST_ASKED} questions, blind, one key each"
        self.app.push_screen(PickModal(title, items), self.guarded(picked))

    @work(thread=True, exclusive=True, group="review", exit_on_error=False)
    def _begin_review(self, models: Sequence[str], path: Path | None) -> None:
        """Draw the questions, from a dataset or from what the run was not trained on."""
        from engine.chat.client import Sampling
        from engine.votes import review

        sampling = Sampling(**self.settings.sampling)
        source = "held-out rows" if path is None else path.name
        with self.open_catalogue() as cat:
            if path is None:
                asked = review.held_out(cat, models, MOST_ASKED, sampling.seed)
            else:
                asked = review.of_file(cat, path, MOST_ASKED, sampling.seed)
            held = review.begin(cat, models, asked, sampling=sampling, source=source)
        self.post_message(ReviewBegun(held))

    @on(ReviewBegun)
    def _review_begun(self, event: ReviewBegun) -> None:
        self._open_review(event.review)

    def _open_review(self, held: Review) -> None:
        from screens.chat.reviewing import ReviewScreen

        screen = ReviewScreen(self.catalogue, held)

        def rows_into(path: Path) -> None:
            self.land_votes(path, votes.items(self.catalogue, held.id))

        def left(rows: bool | None) -> None:
            self.workers.cancel_group(self, "review")
            if rows:
                self._back = ""
                self.choose_dataset(rows_into, "from-votes")
            else:
                self._go_back()

        self.app.push_screen(screen, self.guarded(left))
        if screen.asking:
            self._fill(screen, held)

    @work(thread=True, exclusive=True, group="review", exit_on_error=False)
    def _fill(self, screen: ReviewScreen, held: Review) -> None:
        from engine.votes.review import fill

        worker = get_current_worker()

        def heard(_done: int, _total: int) -> None:
            if worker.is_cancelled:
                raise Conflict("the review was left", "w goes on with it.")
            self.post_message(ReviewAnswered(screen, asking=True))

        try:
            with self.open_catalogue() as cat:
                fill(cat, held, heard)
        except WorkbenchError:
            if not worker.is_cancelled:
                raise
        finally:
            self.post_message(ReviewAnswered(screen, asking=False))

    @on(ReviewAnswered)
    def _review_answered(self, event: ReviewAnswered) -> None:
        if event.screen.is_mounted:
            event.screen.look(asking=event.asking)
