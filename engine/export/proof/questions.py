"""(heavy) Is the export the model that was trained? Question after question, each with a verdict.

Knows the stages and their rules; the limits are in `limits`. Does not know how the export was made.
Everything is fixed, so the same file gives the same proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from engine.export.plan import context_of
from engine.export.proof import limits, reading
from engine.export.proof.candidates import Candidate, open_candidate
from engine.export.proof.divergence import Divergence
from engine.export.proof.kept import Logits
from engine.export.proof.samples import Sample, shipped
from engine.export.proof.yardstick import Yardstick, question
from engine.export.stages import Job, Stage, State, Target
from engine.export.types import Limits, choose, of_gguf
from store.errors import Unsupported, WorkbenchError, WorkerDied
from store.visible import visible

Say = Callable[[Stage], None]
_SHOWN = 60
_LONGEST = 800
_BEYOND = 8
"""Tokens a file may go on where the trained model has ended, to see that it does not end."""
_ORIGINAL = "the adapter on the base's own weights"
_ALIKE = 512
"""Positions on which a file that failed is held against what it may be instead."""


def prove(
    job: Job, target: Target, yardstick: Yardstick, say: Say, sixteen: Path | None = None
) -> list[Stage]:
    """Ask everything of one file or folder; what cannot be opened fails its `load` stage.

    Args:
        say: called with every stage, while it runs and when it is decided.
        sixteen: the F16 file that a quantised one was made of, where it is still there.
    """
    proof = _Proof(job, target, yardstick, say, sixteen)
    proof.run()
    return proof.stages


@dataclass(frozen=True, slots=True)
class _Fork:
    """The first differing token, from 1, and by how much (nats) the trained model preferred its."""

    token: int
    gap: float


class _Proof:
    """One comparison in progress: the yardstick on one side, one target on the other."""

    def __init__(
        self, job: Job, target: Target, yardstick: Yardstick, say: Say, sixteen: Path | None
    ) -> None:
        self._job = job
        self._target = target
        self._yard = yardstick
        self._tell = say
        self._sixteen = sixteen
        self._type = choose(job.kind, target.type) if target.type else of_gguf(None)
        self._merge = job.merge
        self._mute = False  # its template refuses, so nothing can be asked of it
        self.stages: list[Stage] = []

    def run(self) -> None:
        with ExitStack() as stack:
            self._say("load", "opening what was written")
            try:
                candidate = open_candidate(self._job, self._target, self._yard, stack)
            except WorkbenchError as error:
                self._refuse("load", error)
                return
            if not self._target.type:
                self._type = of_gguf(candidate.file_type)
            self._decide("load", *self._opened(candidate))
            self._questions(candidate)

    def _opened(self, candidate: Candidate) -> tuple[State, str]:
        """Whether what opened says of its context what the trained model is good for."""
        said, most = candidate.context, context_of(self._yard.base)
        if said is not None and said <= 0:  # llama.cpp keeps it as a signed number
            return "fail", "its context_length is no number of tokens under 2,147,483,648"
        if said is not None and most is not None and said > most:
            text = f"it opens, but says that it holds {said:,} tokens"
            return "warn", f"{text}: beyond {most:,} it does not answer as trained"
        return "pass", f"it opens; judged by the limits of {self._type.name}"

    def _questions(self, candidate: Candidate) -> None:
        """Every stage in order; an export that dies of a question has failed it."""
        stages: list[tuple[str, Callable[[Candidate], None]]] = [
            ("tokens", self._tokens),
            ("template", self._template),
            ("stops", self._stops),
            ("convert", self._convert),
            (self._first(), self._distributions),
            ("greedy", self._greedy),
        ]
        for name, ask in stages:
            if name == "greedy" and self._mute:
                continue
            try:
                ask(candidate)
            except WorkbenchError as error:
                self._mute |= name == "template"
                self._refuse(name, error)
                if isinstance(error, WorkerDied):
                    return

    def _say(self, name: str, text: str, **numbers: float) -> None:
        self._tell(Stage(name, "running", text, numbers, self._target.type))

    def _decide(self, name: str, state: State, text: str, **numbers: float) -> None:
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        if state == "fail":
            text = f"{text.rstrip('.')}. {limits.WAY_OUT.get(name, '')}".rstrip()
        # JSON has no word for what is no number.
        kept = {key: value for key, value in numbers.items() if math.isfinite(value)}
        # A file may put anything into what is said of it.
        self.stages.append(Stage(name, state, visible(text), kept, self._target.type))
        self._tell(self.stages[-1])

    def _refuse(self, name: str, error: WorkbenchError) -> None:
        """A question that could not be asked."""
        if isinstance(error, Unsupported):  # here, not of this file
            text = f"{error.message.rstrip('.')}. {error.hint}"
            self.stages.append(Stage(name, "fail", visible(text), {}, self._target.type))
            self._tell(self.stages[-1])
        else:
            self._decide(name, "fail", error.message)

    def _tokens(self, candidate: Candidate) -> None:
        state, text, numbers = reading.compare(candidate, self._yard)
        self._decide("tokens", state, text, **numbers)

    def _template(self, candidate: Candidate) -> None:
        renderer = self._yard.renderer
        if renderer.template_source is None:
            return
        samples = self._yard.samples
        if not any(sample.turns for sample in samples):  # trained on plain text
            samples = shipped(renderer)
        chats = [sample.turns for sample in samples if sample.turns]
        wrong, shown = 0, ""
        for turns in chats:
            for prompt, part in ((False, turns), (True, question(turns))):
                expected = renderer.render(part, generation_prompt=prompt, spans=False).text
                found = candidate.render(part, generation_prompt=prompt)
                if candidate.given.text(found) != candidate.given.text(expected):
                    wrong += 1
                    shown = shown or f"{found!r:.{_SHOWN}}"
        numbers = {"conversations": float(len(chats)), "different": float(wrong)}
        text = f"{len(chats)} conversations are rendered the same, with and without a question"
        if wrong:
            text = f"{wrong} of {2 * len(chats)} renderings differ; first: {shown}"
        elif not chats:
            text = "the trained template takes no conversation that could be compared"
        state: State = "fail" if wrong else "pass" if chats else "warn"
        self._decide("template", state, text, **numbers)

    def _stops(self, candidate: Candidate) -> None:
        """Every stop ends generation, nothing inside an answer does, and one BOS stays one."""
        renderer, samples = self._yard.renderer, self._yard.samples
        stops = list(renderer.stop_ids)
        flags = dict(zip(stops, candidate.stops(stops), strict=True))
        deaf = [token for token, flag in flags.items() if not flag]
        inside = sorted({token for s in samples for token in _inside(s)} - set(stops))
        early = [t for t, f in zip(inside, candidate.stops(inside), strict=True) if f]
        bos, problems = renderer.bos_id, []
        if deaf:
            problems.append(f"generation would run past {self._name(deaf[0])}")
        if early:
            problems.append(f"generation would stop inside an answer, at {self._name(early[0])}")
        if candidate.eos not in stops:
            problems.append(f"its end token is id {candidate.eos}, none of the trained stops")
        if bos is not None and candidate.bos != bos:
            problems.append(f"its begin token is id {candidate.bos}, trained was {bos}")
        counts = [s.ids.count(bos) for s in samples] if bos is not None else []
        numbers = {"stops": float(len(stops)), "bos": float(max(counts, default=0))}
        if problems:
            return self._decide("stops", "fail", "; ".join(problems), **numbers)
        if any(count > 1 for count in counts):
            text = "a chat holds more than one begin token"
            return self._decide("stops", "warn", text, **numbers)
        names = " ".join(self._name(token) for token in stops)
        return self._decide("stops", "pass", f"generation ends at {names}", **numbers)

    def _name(self, token: int) -> str:
        return f"{self._yard.tokenizer.id_to_token(token)!r} ({token})"

    def _convert(self, _: Candidate) -> None:
        """The F16 file that a quantised one was made of; another's own is asked with its end."""
        if self._sixteen is None or self._type.bits >= limits.SIXTEEN:
            return
        found = self._yard.converted(self._sixteen, self._positions("convert")).numbers()
        state = limits.judge(found, choose("gguf", "f16").limits)
        self._decide("convert", state, f"the F16 file: {describe(found)}", **found)

    def _positions(self, name: str) -> Callable[[int, int], None]:
        def tell(done: int, total: int) -> None:
            text = f"{done:,} of {total:,} tokens compared"
            self._say(name, text, done=float(done), total=float(total))

        return tell

    def _distributions(self, candidate: Candidate) -> None:
        """What the file says at every position, against where it comes from and as chatted."""
        yard, name = self._yard, self._first()
        self._say(name, "loading the trained model in 32 bit")
        samples = yard.chosen(fitted=self._type.fitted)
        origin = yard.written
        if origin is not yard.trained:  # first all of the one model, then all of the other
            yard.compare(samples, yard.trained, [], self._positions(name))
        if name == "quant" and self._sixteen is not None:
            origin = yard.sixteen(self._sixteen)

        def said(sample: int) -> Logits:
            return candidate.logits(yard.ids(sample))

        against = [yard.trained] if origin is yard.trained else [yard.trained, origin]
        results = yard.compare(samples, said, against, self._positions(name))
        found, words = results[-1], ""
        foreign = self._job.do == "verify" and self._job.expected_sha256 is None
        if foreign and yard.original is not origin and self._fails(found):
            [other] = yard.compare(samples, said, [yard.original], self._positions(name))
            if not self._fails(other):
                found, words, self._merge = other, f"{_ORIGINAL}: ", "original"
        if name != "end":
            numbers = found.numbers()
            state = limits.judge(numbers, self._type.limits)
            self._decide(name, state, words + describe(numbers), **numbers)
        self._end(results[0], samples, said)

    def _fails(self, found: Divergence) -> bool:
        return limits.judge(found.numbers(), self._type.limits) == "fail"

    def _first(self) -> str:
        """The stage that asks the file for its distributions first."""
        if self._job.kind in ("adapter", "adapter-gguf"):
            return "end"  # nothing was merged
        return "convert" if self._type.bits >= limits.SIXTEEN else "quant"

    def _end(
        self,
        found: Divergence,
        samples: Sequence[int],
        said: Callable[[int], Logits],
    ) -> None:
        """The file against the model as chatted, and how much of the fine-tune is lost."""
        numbers = found.numbers()
        worth = self._yard.worth(samples)
        if worth is not None:
            numbers["kl_base"] = worth
            numbers["share_lost"] = numbers["kl_mean"] / worth if worth > 0 else 0.0
        allowed = limits.end(self._type, self._merge)
        state = limits.judge(numbers, allowed)
        text = describe(numbers)
        if state == "fail":
            text += self._instead(samples, said, allowed)
        self._decide("end", state, text, **numbers)

    def _instead(
        self, samples: Sequence[int], said: Callable[[int], Logits], allowed: Limits
    ) -> str:
        """What a file that failed is, if it is something known."""
        yard, few, positions = self._yard, [], 0
        for sample in samples:
            few.append(sample)
            positions += len(yard.ids(sample))
            if positions >= _ALIKE:
                break
        known: list[tuple[str, Callable[[int], Logits]]] = []
        if self._job.source.adapter is not None:
            known.append(("it answers as the base does without the adapter", yard.bare))
        if yard.original is not yard.written:
            known.append((f"it is {_ORIGINAL}", yard.original))
        for words, other in known:
            try:
                [found] = yard.compare(few, said, [other], lambda *_: None)
            except Unsupported:  # memory holds no other model beside the file
                continue
            if limits.judge(found.numbers(), allowed) != "fail":
                return f" · {words}"
        return ""

    def _greedy(self, candidate: Candidate) -> None:
        """Greedy answers side by side: told, and a warning only for types that lose nothing."""

        def tell(number: int, total: int) -> None:
            self._say("greedy", f"asking question {number + 1} of {total}")

        asked = self._yard.greedy(tell)
        if not asked:
            return
        forks: dict[int, _Fork] = {}
        numbers: dict[str, float] = {"prompts": len(asked), "first": 0}
        ended = 0
        for number, one in enumerate(asked, 1):
            tell(number - 1, len(asked))
            found = candidate.greedy(one.turns, len(one.answer) + (_BEYOND if one.ended else 0))
            ended += bool(found) and candidate.stops(found[-1:])[0]
            fork = self._fork(number - 1, one.answer, found)
            if fork is not None:
                forks[number] = fork
            numbers[f"first_{number}"] = fork.token if fork is not None else 0
        same = len(asked) - len(forks)
        due = sum(one.ended for one in asked)
        numbers |= {"same": same, "ended_trained": due, "ended_export": ended}
        text = f"{same} of {len(asked)} greedy answers are the same token by token"
        gap = max((fork.gap for fork in forks.values()), default=0.0)
        if forks:
            numbers["first"] = min(fork.token for fork in forks.values())
            where = ", ".join(str(fork.token) for fork in forks.values())
            text += f"; first differing tokens: {where}, choices at most {gap:.2g} nats apart"
            numbers["gap"] = gap
        text += f"; {ended} end their turn, {due} with the trained model"
        exact = self._type.bits >= limits.SIXTEEN
        tied = gap <= limits.TIE_NATS
        state: State = "pass" if tied or not exact else "warn"
        if due and 2 * ended < due:
            state = "warn"
        self._decide("greedy", state, text, **numbers)

    def _fork(self, number: int, expected: Sequence[int], found: Sequence[int]) -> _Fork | None:
        """Where two greedy answers to a question part, or None where they are the same."""
        pairs = list(zip(expected, found, strict=False))
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if at is None:
            return None if len(expected) == len(found) else _Fork(len(pairs) + 1, math.inf)
        logits = self._yard.choices(number)[at]
        known = found[at] < len(logits)  # a foreign file may have more tokens
        return _Fork(at + 1, float(logits[expected[at]] - logits[found[at]]) if known else math.inf)


def describe(numbers: dict[str, float]) -> str:
    """Measured divergences as one line."""
    parts = [
        f"KL {numbers['kl_mean']:.2g} (max {numbers['kl_max']:.2g})",
        f"top-1 {numbers['top1']:.2%}",
        f"{numbers['positions']:,.0f} tokens",
    ]
    if "loss_export" in numbers:
        parts.append(f"loss {numbers['loss_trained']:.4f} → {numbers['loss_export']:.4f}")
    if "share_lost" in numbers:
        parts.append(f"{numbers['share_lost']:.2%} of the fine-tune lost")
    return " · ".join(parts)


def _inside(sample: Sample) -> list[int]:
    """Trained ids of a sample: what answers are made of."""
    return [token for token, trained in zip(sample.ids, sample.mask, strict=True) if trained]
