"""(heavy) What every file of a job is measured against: the trained model, asked once.

Knows the samples, the model as chatted and the model that was written (the same, unless the adapter
was put on the base's own weights), and keeps what they said. Does not know exports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import msgspec
import psutil
from tokenizers import Tokenizer

from engine.data.rows import Turn
from engine.export.plan import context_of
from engine.export.proof.divergence import Divergence
from engine.export.proof.kept import Kept, Logits
from engine.export.proof.reference import Reference, needs
from engine.export.proof.samples import MAX_LENGTH, held_out
from engine.export.proof.torture import torture
from engine.export.stages import Job, Source
from engine.llama.client import LlamaWorker
from engine.models.folder import read_json
from engine.render.folder import read_tokenizer
from engine.render.renderer import Renderer

Tell = Callable[[int, int], None]
"""Hears positions done and positions in all."""

MAX_POSITIONS = 4096
GREEDY_PROMPTS = 4
GREEDY_TOKENS = 48


@dataclass(frozen=True, slots=True)
class Greedy:
    """A question, its ids, and what the trained model answers: its stop token included."""

    turns: tuple[Turn, ...]
    prompt: list[int]
    answer: list[int]
    ended: bool


class Yardstick:
    """The trained model of a job; use it as a context manager, for all of the job's files.

    Models are opened when they are first asked, one at a time where all that they say is kept.

    Attributes:
        base: folder of the base. renderer: its template and stops.
        samples: held-out conversations, each cut at `length` tokens where models read them.
        trained: what the model as chatted says of a sample. original: what the adapter on the
            base's own weights says; the same object where training held them like that.
        written: the one of the two that the job writes.
        choices: what the model as chatted says at each token of a greedy answer, by its number.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.base = Path(job.source.base)
        self.renderer = Renderer.load(self.base)
        chats = Path(job.source.chats) if job.source.chats else None
        self.samples = held_out(self.renderer, chats)
        self.length = min(MAX_LENGTH, context_of(self.base) or MAX_LENGTH)
        self._stack = ExitStack()
        self._model: Reference | None = None
        self._merged: Reference | None = None
        self._llama: LlamaWorker | None = None
        self._sixteen: Kept | None = None
        self._converted: Divergence | None = None
        self._worth: dict[int, float] = {}
        self._greedy: list[Greedy] | None = None
        self.choices = self.kept(self._choices)
        self.trained = self.kept(lambda i: self.model.logits(self.ids(i)))
        self.original = self.trained
        original = msgspec.structs.replace(job, merge="original").written
        if original != job.source:
            self.original = self.kept(lambda i: self._on(original).logits(self.ids(i)))
        self.written = self.trained if job.merge == "faithful" else self.original

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._model = self._merged = None
        self._stack.close()

    @property
    def model(self) -> Reference:
        """The model as chatted, in 32-bit arithmetic.

        Raises:
            Unsupported: it does not fit into memory.
        """
        if self._model is None:
            self._model = Reference(self._job.source)
        return self._model

    def _on(self, original: Source) -> Reference:
        """The adapter on the base's own weights; the model as chatted leaves if it is done."""
        if self._merged is None:
            self._let_go()
            self._merged = Reference(original)
        return self._merged

    def make_room(self) -> None:
        """Where memory holds one model only: let those here leave before another one comes."""
        there = int(self._model is not None)
        if psutil.virtual_memory().available < (2 - there) * needs(self.base):
            samples = self.chosen(fitted=False)
            self.compare(samples, self.written, [], lambda *_: None)
            self._let_go()
            if self.written.holds(samples):
                self._merged = None

    def _let_go(self) -> None:
        """Let the model as chatted say everything, and leave if all of it is kept."""
        samples = self.chosen(fitted=False)
        self.compare(samples, self.trained, [], lambda *_: None)
        self.worth(samples)
        self.greedy(lambda *_: None)
        if self.trained.holds(samples):
            self._model = None

    def kept(self, ask: Callable[[int], Logits]) -> Kept:
        """Logits by sample, kept beside the log of the job until the yardstick is closed."""
        found = Kept(ask, MAX_POSITIONS + MAX_LENGTH, Path(self._job.log).parent)
        self._stack.callback(found.close)
        return found

    def ids(self, sample: int) -> tuple[int, ...]:
        """What is read of a sample."""
        return self.samples[sample].ids[: self.length]

    def chosen(self, *, fitted: bool) -> list[int]:
        """The samples to measure on: about `MAX_POSITIONS`; of a fitted file those not read."""
        found, positions = [], 0
        for sample in range(0, len(self.samples), 2 if fitted else 1):
            if positions >= MAX_POSITIONS:
                break
            if self.ids(sample):
                found.append(sample)
                positions += len(self.ids(sample))
        return found

    def compare(
        self,
        samples: Sequence[int],
        found: Callable[[int], Logits],
        against: Sequence[Callable[[int], Logits]],
        tell: Tell,
    ) -> list[Divergence]:
        """How far what is `found` lies from each of `against`, which are each asked once."""
        results = [Divergence() for _ in against]
        done, total = 0, sum(len(self.ids(i)) for i in samples)
        for sample in samples:
            ids, mask = self.ids(sample), self.samples[sample].mask[: self.length]
            logits = found(sample)
            for result, reference in zip(results, against, strict=True):
                result.add(reference(sample), logits, ids, mask)
            done += len(ids)
            tell(done, total)
        return results

    def worth(self, samples: Sequence[int]) -> float | None:
        """What the fine-tune is worth: KL(as chatted ‖ the base alone) in nats a position."""
        if self._job.source.adapter is None:
            return None
        for sample in samples:
            if sample not in self._worth:
                [found] = self.compare([sample], self.bare, [self.trained], lambda *_: None)
                self._worth[sample] = found.numbers()["kl_mean"]
        lengths = [len(self.ids(sample)) for sample in samples]
        total = sum(self._worth[s] * n for s, n in zip(samples, lengths, strict=True))
        return total / max(sum(lengths), 1)

    def sixteen(self, file: Path) -> Kept:
        """What an F16 file says of a sample; it is opened when it is first asked."""
        if self._sixteen is None:
            self._sixteen = self.kept(lambda i: self._file(file).logits([self.ids(i)]))
        return self._sixteen

    def _file(self, file: Path) -> LlamaWorker:
        if self._llama is None:
            log = Path(self._job.log)
            opened = LlamaWorker.open(file, log, n_ctx=self.length)
            self._llama = self._stack.enter_context(opened)
        return self._llama

    def converted(self, file: Path, tell: Tell) -> Divergence:
        """The F16 file that quantised ones are made of, against the 32-bit model it was made of."""
        if self._converted is None:
            samples = self.chosen(fitted=False)
            [self._converted] = self.compare(samples, self.sixteen(file), [self.written], tell)
        return self._converted

    def bare(self, sample: int) -> Logits:
        """What the base says without its adapter."""
        return self.model.logits(self.ids(sample), base=True)

    def greedy(self, say: Callable[[int, int], None]) -> list[Greedy]:
        """What the model as chatted answers to the first questions of the samples.

        Args:
            say: hears how many answers there are, and how many there will be.
        """
        if self._greedy is None:
            asked = [question(sample.turns) for sample in self.samples if sample.turns]
            asked = [turns for turns in asked if turns][:GREEDY_PROMPTS]
            found = []
            for number, turns in enumerate(asked):
                say(number, len(asked))
                prompt = self.renderer.render(turns, generation_prompt=True, spans=False).ids
                room = min(GREEDY_TOKENS, self.length - len(prompt))
                if room < 1:
                    continue
                answer = self.model.greedy(prompt, self.renderer.stop_ids, room)
                ended = bool(answer) and answer[-1] in self.renderer.stop_ids
                found.append(Greedy(turns, list(prompt), answer, ended))
            self._greedy = found
            for number in range(len(found)):
                self.choices(number)
        return self._greedy

    def _choices(self, number: int) -> Logits:
        assert self._greedy is not None
        one = self._greedy[number]
        return self.model.logits([*one.prompt, *one.answer])[len(one.prompt) - 1 :]

    @cached_property
    def texts(self) -> list[str]:
        """What tokenizers are compared on: the samples, then texts that they trip over."""
        added = self.tokenizer.get_added_tokens_decoder()
        rows = read_json(self.base / "config.json").get("vocab_size")
        texts = [sample.text for sample in self.samples]
        return texts + torture([t.content for i, t in added.items() if rows is None or i < rows])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The base's own, with nothing cut and nothing filled up."""
        return read_tokenizer(self.base)

    def encode(self, text: str, *, framed: bool) -> list[int]:
        """Ids of a text as in training; `framed` with begin and end tokens as configured."""
        return list(self.tokenizer.encode(text, add_special_tokens=framed).ids)


def question(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The conversation up to its last question."""
    asked = [i for i, turn in enumerate(turns) if turn.role == "user"]
    return tuple(turns[: asked[-1] + 1]) if asked else ()
