"""What a run says while it learns (heavy): sample answers, check suites, and doubts about both.

Everything is asked of the adapter, and once of the base beneath it, so that each answer has
something to be compared with. Knows what is asked and where it is written down. Does not know when:
that is the schedule's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.checks.judging import Item, by_group, judged
from engine.checks.kinds import Answer
from engine.checks.suite import Suite
from engine.render import Renderer
from engine.train import doubts
from engine.train.answering import Answering
from engine.train.asking import Asked
from engine.train.control import Control
from engine.train.recording import Recorder
from store.rundb import Judged

_BASE, _ADAPTER = "base", "adapter"


class Looking:
    """Asks, judges, records and warns.

    Args:
        untrained: the adapter still does nothing at step 0, so that the base's answers are its own.
        control: heard between batches; None where several processes must answer alike.
    """

    def __init__(
        self,
        renderer: Renderer,
        asked: Asked,
        recorder: Recorder,
        control: Control | None,
        *,
        untrained: bool,
    ) -> None:
        self._answering = Answering(renderer)
        self._asked = asked
        self._recorder = recorder
        self._control = control
        self._untrained = untrained
        self._probes = [self._answering.prompt(turns) for turns in asked.probes]
        self._suites = {
            name: [self._answering.prompt(prompt.turns) for _, prompt in suite.asked]
            for name, suite in asked.suites.items()
        }
        self._base: dict[str, tuple[Item, ...]] = {}
        with recorder.reader() as run_db:
            self._said = set(doubts.standing(run_db.events()))

    @property
    def has_probes(self) -> bool:
        """Whether there is a prompt to answer."""
        return bool(self._probes) and self._asked.probe_tokens > 0

    @property
    def has_suites(self) -> bool:
        """Whether there is a suite to ask."""
        return bool(self._suites)

    def sample(self, model: Any, step: int) -> None:
        """Answer the probes, and before the first step as the base does."""
        asked, writer = self._asked, self._recorder.writer
        for label in (_BASE, _ADAPTER) if step == 0 else (_ADAPTER,):
            said = self._answering.answers(
                model, self._probes, asked.probe_tokens, base=label == _BASE
            )
            for turns, (answer, tokens) in zip(asked.probes, said or (), strict=True):
                writer.sample(step, turns[-1].text, label, answer.text, tokens, answer.stop)
        if not self.has_suites and step:
            with self._recorder.reader() as run_db:
                samples = run_db.samples()
            base, now = (
                [Answer(s.text, s.stop) for s in samples if (s.model, s.step) == wanted]
                for wanted in ((_BASE, 0), (_ADAPTER, step))
            )
            self._doubt_form(step, now, base, asked.probe_tokens)

    def check(self, model: Any, step: int) -> None:
        """Ask every suite, judge the answers, and warn of what is worse than with the base."""
        now: list[Answer] = []
        base: list[Answer] = []
        longest = 0
        for name, suite in self._asked.suites.items():
            before = self._base_items(model, name)
            if before is None:
                return
            items: tuple[Item, ...] | None = before
            if step or not self._untrained:
                items = self._ask(model, name, _ADAPTER, step)
            if items is None:
                return
            self._recorder.writer.metrics(step, _rates(name, suite, items))
            now += _answers(items)
            base += _answers(before)
            longest = max(longest, suite.max_tokens)
            if name == self._asked.retention:
                doubt = doubts.about_retention(name, items, before)
                self._say(step, doubts.falls(name), doubt)
        if now:
            self._doubt_form(step, now, base, longest)

    def has_asked(self, step: int) -> bool:
        """Whether every suite was asked of the adapter at a step, by what is written down."""
        with self._recorder.reader() as run_db:
            return all(run_db.judged(name, _ADAPTER, step) for name in self._suites)

    def _base_items(self, model: Any, name: str) -> tuple[Item, ...] | None:
        """How the base did: as it was written down at the start, else asked now."""
        if name not in self._base:
            with self._recorder.reader() as run_db:
                known = run_db.judged(name, _BASE, 0)
            items = self._judged(
                name, [(Answer(a.text, a.stop, a.tokens), a.tokens) for a in known]
            )
            found = items or self._ask(model, name, _BASE, 0)
            if found is None:
                return None
            self._base[name] = found
        return self._base[name]

    def _ask(self, model: Any, name: str, label: str, step: int) -> tuple[Item, ...] | None:
        """Ask one suite and write it down; None where the run is to end instead."""
        suite = self._asked.suites[name]
        said = self._answering.answers(
            model, self._suites[name], suite.max_tokens, base=label == _BASE, goes_on=self._goes_on
        )
        if said is None:
            return None
        items = self._judged(name, said)
        assert items is not None
        self._recorder.writer.judged(
            step,
            name,
            label,
            [
                Judged(place, item.verdict, answer.text, tokens, answer.stop)
                for place, (item, (answer, tokens)) in enumerate(zip(items, said, strict=True))
            ],
        )
        return items

    def _judged(self, name: str, said: Sequence[tuple[Answer, int]]) -> tuple[Item, ...] | None:
        if len(said) != len(self._suites[name]):
            return None
        return judged(self._asked.suites[name], [[answer for answer, _ in said]])[0]

    def _goes_on(self) -> bool:
        if self._control is None:
            return True
        if self._control.heartbeat_due():
            self._recorder.writer.heartbeat()
        self._control.poll()
        return self._control.ending is None

    def _doubt_form(
        self, step: int, now: Sequence[Answer], base: Sequence[Answer], limit: int
    ) -> None:
        """Record how alike the answers open and how many end, and warn."""
        self._recorder.writer.metrics(
            step,
            {
                "probe/same_opening": doubts.same_opening(now),
                "probe/unended": doubts.unended(now),
            },
        )
        self._say(step, doubts.OPENINGS, doubts.about_openings(now, base, self._asked.taught))
        self._say(step, doubts.ENDINGS, doubts.about_endings(now, base, self._asked.longer(limit)))

    def _say(self, step: int, about: str, doubt: str | None) -> None:
        """Warn once, and say when it has passed."""
        if doubt is None and about in self._said:
            self._said.remove(about)
            self._recorder.writer.event("passed", f"{about}: no longer", step=step)
        elif doubt is not None and about not in self._said:
            self._said.add(about)
            self._recorder.writer.event("warning", doubt, level="warn", step=step)


def _answers(items: Sequence[Item]) -> list[Answer]:
    return [Answer(item.answer, item.stop or "length") for item in items]


def _rates(name: str, suite: Suite, items: Sequence[Item]) -> dict[str, float]:
    """The rate of passing of each group that could be judged, by its metric's name."""
    counts = by_group(suite, items)
    return {
        f"suite/{name}/{count.name.replace('/', ' ')}": count.rate
        for count in counts
        if count.rate is not None
    }
