"""Sample answers through time: base beside adapter at any evaluation, differences marked.

Knows which answers belong together and which words changed. Does not know who generated them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from screens.safe import text
from screens.widgets.differing import differing
from store.rundb import Sample

Against = Literal["before", "base", "nothing"]
AGAINST: tuple[Against, ...] = ("before", "base", "nothing")
_LIMIT = 4000


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered to one prompt.

    Attributes:
        place, count: which prompt of how many, from 0.
        steps: those at which the adapter answered.
        base: the base's answer; before, now: the adapter's at the step and at the one before.
    """

    prompt: str
    place: int
    count: int
    steps: tuple[int, ...]
    base: Sample | None
    before: Sample | None
    now: Sample | None


def answers_at(samples: Sequence[Sample], number: int, at: float | None) -> Answers | None:
    """The `number`-th prompt's answers at the newest evaluation up to `at`; None without any."""
    prompts = list(dict.fromkeys(sample.prompt for sample in samples))
    if not prompts:
        return None
    place = number % len(prompts)
    mine = [sample for sample in samples if sample.prompt == prompts[place]]
    tuned = {sample.step: sample for sample in mine if sample.model != "base"}
    steps = tuple(sorted(tuned))
    known = [step for step in steps if at is None or step <= at] or list(steps[:1])
    now = known[-1] if known else None
    return Answers(
        prompt=prompts[place],
        place=place,
        count=len(prompts),
        steps=steps,
        base=next((sample for sample in mine if sample.model == "base"), None),
        before=tuned[known[-2]] if len(known) > 1 else None,
        now=tuned[now] if now is not None else None,
    )


def answer_words(sample: Sample | None, old: Sample | None = None) -> Content:
    """An answer, what differs from an older one underlined."""
    if sample is None:
        return Content.styled("not answered yet", "$foreground 60%")
    said = sample.text.strip()
    if not said:
        return Content.styled("(nothing)", "$foreground 60%")
    if old is None:
        return text(said, limit=_LIMIT)
    return differing(old.text.strip(), said)


def end_words(sample: Sample | None) -> Content:
    """How an answer ended: the length of those that never do is worth a look."""
    if sample is None:
        return Content("")
    good = Content.styled("ended its turn", "$foreground 60%")
    bad = Content.styled("! cut at the length", "$text-warning")
    ended = good if sample.stop == "turn end" else bad
    return Content.styled(f"{sample.tokens} tokens · ", "$foreground 60%") + ended


class AnswerPane(Container):
    """The answers to one prompt: A base, B adapter; beside each other where there is room."""

    shown: reactive[Answers | None] = reactive[Answers | None](None)
    against: reactive[Against] = reactive[Against]("before")

    def compose(self) -> ComposeResult:
        yield Static(id="answer-prompt")
        with Container(id="answer-sides"):
            for side in ("a", "b"):
                with VerticalScroll(id=f"answer-{side}", can_focus=False):
                    yield Static(id=f"answer-{side}-words")
        yield Static(id="answer-steps")

    def watch_shown(self) -> None:
        self._show()

    def watch_against(self) -> None:
        self._show()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        prompt, steps = (
            self.query_one("#answer-prompt", Static),
            self.query_one("#answer-steps", Static),
        )
        a, b = self.query_one("#answer-a-words", Static), self.query_one("#answer-b-words", Static)
        seen = self.shown
        if seen is None:
            said = "Answers of base and adapter appear here at every evaluation (probe_steps)."
            prompt.update(Content.styled(said, "$foreground 60%"))
            for part in (a, b, steps):
                part.update(Content(""))
            return
        old = {"before": seen.before, "base": seen.base, "nothing": None}[self.against]
        prompt.update(Content.assemble(("› ", "$accent bold")) + text(seen.prompt, limit=2000))
        a.update(_headed("A base", "$side-a bold", end_words(seen.base)) + answer_words(seen.base))
        title = f"B step {seen.now.step:,}" if seen.now else "B adapter"
        b.update(_headed(title, "$side-b bold", end_words(seen.now)) + answer_words(seen.now, old))
        steps.update(step_words(seen, self.against))


def _headed(title: str, colour: str, note: Content) -> Content:
    return Content.assemble((title, colour), "  ") + note + Content("\n")


def step_words(seen: Answers, against: Against) -> Content:
    """The evaluations in a row, the shown one marked, and what is underlined."""
    parts = []
    for step in seen.steps[-40:]:
        now = seen.now is not None and step == seen.now.step
        parts.append(Content.styled(f"▸{step:,} " if now else f" {step:,} ",
                                    "$accent bold" if now else "$foreground 60%"))  # fmt: skip
    marked = {"before": "underlined: not in the answer before", "base": "underlined: not in A",
              "nothing": "nothing underlined"}[against]  # fmt: skip
    return Content("").join(parts) + Content.styled(f"\n {marked}", "$foreground 60%")
