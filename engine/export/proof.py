"""(heavy) Is the export the model that was trained? Five questions, each with its own verdict.

Knows the stages and their limits. Does not know how the export was made. Stages: the same ids for
the same text, the same text for the same turns, the same stops, the same next-token distributions,
the same greedy answers. Everything is fixed, so the same file gives the same proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, normalizers

from engine.data.rows import Turn
from engine.export.candidates import Candidate, open_candidate
from engine.export.divergence import Divergence
from engine.export.plan import context_of
from engine.export.reference import Reference
from engine.export.samples import MAX_LENGTH, Sample, held_out, kept_for_the_proof, torture
from engine.export.stages import Job, Stage, State
from engine.export.types import ExportType, choose, of_gguf
from engine.models.folder import read_json
from engine.render.renderer import Renderer
from store.errors import Unsupported, WorkbenchError, WorkerDied

Say = Callable[[Stage], None]

MAX_POSITIONS = 4096
GREEDY_PROMPTS = 4
GREEDY_TOKENS = 48
TIE_NATS = 0.02
"""Two choices this close are a tie: rounding weights to 16 bits moves logits about as much."""
_SHOWN = 60


class Proof:
    """One comparison in progress: the trained model on one side, the export of `job` on the other.

    Args:
        say: called with every stage, while it runs and when it is decided.
    """

    def __init__(self, job: Job, say: Say) -> None:
        self._job = job
        self._say = say
        self._base = Path(job.source.base)
        self._renderer = Renderer.load(self._base)
        self._tokenizer = Tokenizer.from_file(str(self._base / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        chats = Path(job.source.chats) if job.source.chats else None
        self._samples = held_out(self._renderer, chats)
        self._type = choose(job.kind, job.type) if job.type else of_gguf(None)
        if self._type.fitted:
            self._samples = kept_for_the_proof(self._samples)
        self.stages: list[Stage] = []

    def run(self) -> list[Stage]:
        """Ask everything; a file that cannot be opened fails its `load` stage."""
        with ExitStack() as stack:
            self._say(Stage("load", "running", "opening the export"))
            try:
                candidate = open_candidate(self._job, stack)
            except WorkbenchError as error:
                self._decide("load", "fail", error.message)
                return self.stages
            if not self._job.type:
                self._type = of_gguf(candidate.file_type)
            self._decide("load", "pass", f"the export opens; limits of {self._type.name}")
            self._questions(candidate)
        return self.stages

    def _questions(self, candidate: Candidate) -> None:
        """Every stage in order; an export that dies of a question has failed it."""
        stages: list[tuple[str, Callable[[], None]]] = [
            ("tokens", lambda: self._tokens(candidate)),
            ("template", lambda: self._template(candidate)),
            ("stops", lambda: self._stops(candidate)),
            ("logits", lambda: self._against_reference(candidate)),
        ]
        for name, ask in stages:
            try:
                ask()
            except WorkerDied as error:
                self._decide(name, "fail", error.message)
                return

    def _against_reference(self, candidate: Candidate) -> None:
        self._say(Stage("logits", "running", "loading the trained model in 32 bit"))
        try:
            reference = Reference(self._job.source)
        except Unsupported as error:
            self._decide("logits", "fail", f"{error.message} {error.hint}")
            return
        self._logits(candidate, reference)
        self._greedy(candidate, reference)

    def _decide(self, name: str, state: State, text: str, **numbers: float) -> None:
        self.stages.append(Stage(name, state, text, numbers))
        self._say(self.stages[-1])

    def _tokens(self, candidate: Candidate) -> None:
        added = read_json(self._base / "tokenizer.json").get("added_tokens", [])
        texts = [sample.text for sample in self._samples]
        texts += torture([str(item["content"]) for item in added])
        cut = self._tokenizer.normalizer
        if isinstance(cut, normalizers.NFC):  # llama.cpp leaves NFC to its caller
            texts = [cut.normalize_str(text) for text in texts]
        expected = [self._encode(text, framed=False) for text in texts]
        found = candidate.encode(texts, framed=False)
        framed = [self._encode(text, framed=True) for text in texts[:3]]
        wrong = [t for t, a, b in zip(texts, expected, found, strict=True) if a != b]
        numbers = {"texts": float(len(texts)), "different": float(len(wrong))}
        if wrong:
            text = (
                f"{len(wrong)} of {len(texts)} texts give other ids; first: {wrong[0]!r:.{_SHOWN}}"
            )
            return self._decide("tokens", "fail", text, **numbers)
        if framed != candidate.encode(texts[:3], framed=True):
            text = "plain text is framed with other begin or end tokens than in training"
            return self._decide("tokens", "fail", text, **numbers)
        return self._decide("tokens", "pass", f"{len(texts)} texts give the same ids", **numbers)

    def _encode(self, text: str, *, framed: bool) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=framed).ids)

    def _template(self, candidate: Candidate) -> None:
        if self._renderer.template_source is None:
            return
        chats = [sample.turns for sample in self._samples if sample.turns]
        wrong, shown = 0, ""
        for turns in chats:
            for prompt, part in ((False, turns), (True, _question(turns))):
                expected = self._renderer.render(part, generation_prompt=prompt, spans=False).text
                try:
                    found = candidate.render(part, generation_prompt=prompt)
                except WorkerDied:
                    raise
                except WorkbenchError as error:
                    found = error.message
                if found != expected:
                    wrong += 1
                    shown = shown or f"{found!r:.{_SHOWN}}"
        numbers = {"conversations": float(len(chats)), "different": float(wrong)}
        if wrong:
            text = f"{wrong} of {2 * len(chats)} renderings differ; first: {shown}"
        else:
            text = f"{len(chats)} conversations are rendered the same, with and without a question"
        self._decide("template", "fail" if wrong else "pass", text, **numbers)

    def _stops(self, candidate: Candidate) -> None:
        """Every stop ends generation, nothing inside an answer does, and one BOS stays one."""
        stops = list(self._renderer.stop_ids)
        flags = dict(zip(stops, candidate.stops(stops), strict=True))
        deaf = [token for token, flag in flags.items() if not flag]
        inside = sorted({token for s in self._samples for token in _inside(s)} - set(stops))
        early = [t for t, f in zip(inside, candidate.stops(inside), strict=True) if f]
        bos, problems = self._renderer.bos_id, []
        if deaf:
            problems.append(f"generation would run past {self._name(deaf[0])}")
        if early:
            problems.append(f"generation would stop inside an answer, at {self._name(early[0])}")
        if candidate.eos not in stops:
            problems.append(f"its end token is id {candidate.eos}, none of the trained stops")
        if bos is not None and candidate.bos != bos:
            problems.append(f"its begin token is id {candidate.bos}, trained was {bos}")
        counts = [s.ids.count(bos) for s in self._samples] if bos is not None else []
        doubled = any(count > 1 for count in counts)
        numbers = {"stops": float(len(stops)), "bos": float(max(counts, default=0))}
        if problems:
            return self._decide("stops", "fail", "; ".join(problems), **numbers)
        names = " ".join(self._name(token) for token in stops)
        if doubled:
            return self._decide(
                "stops", "warn", "a chat holds more than one begin token", **numbers
            )
        return self._decide("stops", "pass", f"generation ends at {names}", **numbers)

    def _name(self, token: int) -> str:
        return f"{self._tokenizer.id_to_token(token)!r} ({token})"

    def _logits(self, candidate: Candidate, reference: Reference) -> None:
        found, share = Divergence(), Divergence()
        limit = self._length()
        total = min(MAX_POSITIONS, sum(min(len(s.ids), limit) for s in self._samples))
        done = 0
        for sample in self._samples:
            ids, mask = sample.ids[:limit], sample.mask[:limit]
            if done >= total or not ids:
                break
            trained = reference.logits(ids)
            found.add(trained, candidate.logits(ids), ids, mask)
            if reference.has_adapter:
                share.add(trained, reference.logits(ids, base=True), ids, mask)
            done += len(ids)
            running = {"done": float(done), "total": float(max(done, total))}
            text = f"comparing distributions: {done:,} of {max(done, total):,} positions"
            self._say(Stage("logits", "running", text, running))
        numbers = found.numbers()
        if reference.has_adapter:
            tuned = share.numbers()["kl_mean"]
            numbers["kl_base"] = tuned
            numbers["share_lost"] = numbers["kl_mean"] / tuned if tuned > 0 else 0.0
        state = judge(numbers, self._type)
        self._decide("logits", state, describe(numbers), **numbers)

    def _length(self) -> int:
        return min(MAX_LENGTH, context_of(self._base) or MAX_LENGTH)

    def _greedy(self, candidate: Candidate, reference: Reference) -> None:
        """Greedy answers side by side: told, and a warning only for types that lose nothing."""
        prompts = [_question(s.turns) for s in self._samples if s.turns]
        prompts = [turns for turns in prompts if turns][:GREEDY_PROMPTS]
        if not prompts:
            return
        forks: list[_Fork] = []
        for number, turns in enumerate(prompts):
            self._say(Stage("greedy", "running", f"answer {number + 1} of {len(prompts)}"))
            fork = self._fork(candidate, reference, turns)
            forks += [fork] if fork is not None else []
        same = len(prompts) - len(forks)
        text = f"{same} of {len(prompts)} greedy answers are the same token by token"
        first = min((fork.token for fork in forks), default=0)
        gap = max((fork.gap for fork in forks), default=0.0)
        if forks:
            text += (
                f"; the first difference is at token {first}, "
                f"between choices at most {gap:.2g} nats apart"
            )
        exact = self._type.name in ("f32", "f16")
        numbers: dict[str, float] = {"prompts": len(prompts), "same": same, "first": first}
        if math.isfinite(gap):  # JSON has no word for the others.
            numbers["gap"] = gap
        tied = gap <= TIE_NATS
        self._decide("greedy", "pass" if tied or not exact else "warn", text, **numbers)

    def _fork(
        self, candidate: Candidate, reference: Reference, turns: tuple[Turn, ...]
    ) -> _Fork | None:
        """Where two greedy answers part, or None where they are the same."""
        ids = self._renderer.render(turns, generation_prompt=True, spans=False).ids
        length = min(GREEDY_TOKENS, self._length() - len(ids))
        if length < 1:
            return None
        expected = reference.greedy(ids, self._renderer.stop_ids, length)
        found = candidate.greedy(turns, length)
        pairs = list(zip(expected, found, strict=False))
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if at is None:
            return None if len(expected) == len(found) else _Fork(len(pairs) + 1, math.inf)
        logits = reference.logits([*ids, *expected[:at]])[-1]
        return _Fork(at + 1, float(logits[expected[at]] - logits[found[at]]))


@dataclass(frozen=True, slots=True)
class _Fork:
    """The first differing token, from 1, and by how much (nats) the trained model preferred its."""

    token: int
    gap: float


def judge(numbers: dict[str, float], limits: ExportType) -> State:
    """The verdict on measured divergences; anything that is not a number fails."""
    kl, top1 = numbers["kl_mean"], numbers["top1"]
    if not math.isfinite(kl) or kl > limits.kl_fail or top1 < limits.top1_fail:
        return "fail"
    return "warn" if kl > limits.kl_warn or top1 < limits.top1_warn else "pass"


def describe(numbers: dict[str, float]) -> str:
    """Measured divergences as one line."""
    parts = [
        f"KL {numbers['kl_mean']:.2g} (max {numbers['kl_max']:.2g})",
        f"top-1 {numbers['top1']:.2%}",
        f"{numbers['positions']:,.0f} positions",
    ]
    if "loss_export" in numbers:
        parts.append(f"loss {numbers['loss_trained']:.4f} → {numbers['loss_export']:.4f}")
    if "share_lost" in numbers:
        parts.append(f"{numbers['share_lost']:.2%} of the fine-tune lost")
    return " · ".join(parts)


def _question(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The conversation up to its last question."""
    asked = [i for i, turn in enumerate(turns) if turn.role == "user"]
    return tuple(turns[: asked[-1] + 1]) if asked else ()


def _inside(sample: Sample) -> list[int]:
    """Trained ids of a sample: what answers are made of."""
    return [token for token, trained in zip(sample.ids, sample.mask, strict=True) if trained]
