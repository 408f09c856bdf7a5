"""(heavy) The process that holds one base: `python -m engine.chat.worker SPEC`.

Knows how turns become batches and ids become text. Does not know the socket (see `server`), the
weights (see `base`) or the loop (see `generate`).
"""

from __future__ import annotations

import fcntl
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from engine.chat import protocol
from engine.chat.base import BASE, Base
from engine.chat.generate import Generation, generate
from engine.chat.protocol import (
    Ask,
    AskRow,
    Attach,
    Delta,
    Done,
    Failed,
    Loading,
    Message,
    Ready,
    Sealed,
    Seat,
    Started,
)
from engine.chat.sampling import sampler_of
from engine.chat.seal import Sealer
from engine.chat.server import TEMPLATE_SECONDS, Say, Server, deadline
from engine.data.rows import Turn
from engine.render.renderer import Refused, Renderer, StreamDecoder
from store.errors import BadInput, Unsupported, WorkbenchError, WorkerDied

BATCH_ROWS = 32
CACHE_SHARE = 0.25
"""Share of the free memory that keys and values of one batch may take."""


class ChatBackend:
    """Answers from one base and its adapters.

    Args:
        spec: `base`, `label`, `quantization`, `double_quantization`, `dtype`, `threads`,
            `device_lock` (a file that a training run on the GPU holds locked).
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._adapters: dict[str, tuple[str, Seat]] = {}
        self._base: Base
        self._sealer: Sealer
        self._renderer: Renderer

    def open(self, say: Say) -> Ready:
        """Load tokenizer and weights."""
        torch.set_num_threads(int(self._spec["threads"]))
        folder = Path(str(self._spec["base"]))
        label = str(self._spec["label"])
        say(Loading(f"loading {label}"))
        self._renderer = Renderer.load(folder)
        self._base = Base(
            folder,
            quantization=self._spec["quantization"],
            double_quantization=bool(self._spec["double_quantization"]),
            dtype=str(self._spec["dtype"]),
            device=_device(str(self._spec["device_lock"])),
        )
        self._sealer = Sealer(self._base, self._probe())
        dtype = str(self._base.dtype).removeprefix("torch.")
        held = f"NF4 in {dtype}" if self._spec["quantization"] else dtype
        return Ready(label, str(self._base.device), held)

    def _probe(self) -> list[int]:
        question = "Why is the sky blue?"
        if self._renderer.template_source is None:
            return self._renderer.encode(question)
        return self._renderer.render(
            [Turn("user", question)], generation_prompt=True, spans=False
        ).ids

    def handle(self, request: Any, say: Say, stopped: Callable[[], bool]) -> Iterator[None]:
        """Answer one request, batch after batch."""
        match request:
            case Attach():
                names = self._load(request.seats)
                self._base.spare(names)
                say(*self._seal(request.id, request.seats, names))
                if not self._sealer.sound:
                    raise WorkerDied(
                        "the weights in memory are not the base any more",
                        "Ask again: a fresh worker reads them anew.",
                    )
            case Ask():
                try:
                    yield from _Answering(self, request, say, stopped).run()
                except torch.OutOfMemoryError as error:
                    raise Unsupported(
                        f"out of memory on {self._base.device} with {len(request.rows)} rows",
                        "Ask about fewer or shorter rows, or use a smaller model.",
                    ) from error
            case _:
                raise BadInput("this worker cannot do that", "Use the same version on both sides.")

    def _load(self, seats: Sequence[Seat]) -> list[str]:
        return [
            BASE if seat.adapter is None else self._base.attach(Path(seat.adapter), seat.strength)
            for seat in seats
        ]

    def _seal(self, number: int, seats: Sequence[Seat], names: Sequence[str]) -> Iterator[Sealed]:
        for seat, name, seal in zip(seats, names, self._sealer.seal(names), strict=True):
            self._adapters[seat.model] = name, seat
            detail = seal.detail
            if not seal.ok:
                del self._adapters[seat.model]
            elif why := self._base.alone(name):
                detail = f"answered after the others, as PEFT says: {why} {detail}"
            elif name == BASE and self._spec["quantization"]:
                detail = f"held as NF4 training saw it; {detail}"
            yield Sealed(number, seat.model, seal.ok, detail, bool(self._base.alone(name)))

    @property
    def base(self) -> Base:
        """The loaded base."""
        return self._base

    @property
    def renderer(self) -> Renderer:
        """Its tokenizer and template."""
        return self._renderer

    def adapter(self, model: str) -> str:
        """The adapter a row asks for; one that made room for others comes back, sealed anew.

        Raises:
            BadInput: it was never attached, or its seal broke.
        """
        name, seat = self._adapters.get(model, ("", None))
        if seat is not None and not self._base.holds(name):
            list(self._seal(0, [seat], self._load([seat])))
        if model not in self._adapters:
            raise BadInput(f"{model} is not attached here", "Attach it first.")
        return name


class _Answering:
    """One `Ask` on its way through batches."""

    def __init__(
        self, backend: ChatBackend, ask: Ask, say: Say, stopped: Callable[[], bool]
    ) -> None:
        self._backend = backend
        self._ask = ask
        self._say = say
        self._stopped = stopped
        self._rows: dict[int, AskRow] = {}
        self._decoders: dict[int, StreamDecoder] = {}
        self._pieces: dict[int, list[str]] = {}
        self._told: dict[int, int] = {}

    def run(self) -> Iterator[None]:
        """Answer every row, shortest prompts first so that batches waste little padding."""
        renderer = self._backend.renderer
        pad = renderer.pad_id
        rows = [
            made for number, row in enumerate(self._ask.rows) if (made := self._row(number, row))
        ]
        for batch in self._in_turn(sorted(rows, key=lambda row: len(row.prompt))):
            for row in batch:  # another window's models may have taken their place meanwhile
                self._backend.adapter(self._rows[row.key].model)
            context = self._backend.base.context or None
            self._say(*(Started(self._ask.id, self._column(r), r.prompt, context) for r in batch))
            yield from generate(
                self._backend.base,
                batch,
                stop_ids=frozenset(renderer.stop_ids),
                pad_id=0 if pad is None else pad,
                on_step=self._on_step,
                stopped=self._stopped,
                likelihoods=self._ask.likelihoods,
            )
            self._say(*(self._done(row) for row in batch if row.stop == "stopped"))
            yield

    def _row(self, number: int, row: AskRow) -> Generation | None:
        ask = self._ask
        context = self._backend.base.context or sys.maxsize
        try:
            adapter = self._backend.adapter(row.model)
            prompt = self._prompt(row.turns)
            if not 0 < len(prompt) < context:
                raise BadInput(
                    f"the conversation has {len(prompt):,} tokens; this model holds {context:,}",
                    "Shorten the conversation.",
                )
        except WorkbenchError as error:
            self._say(Failed(ask.id, error.message, error.hint, row.column))
            return None
        self._rows[number] = row
        self._pieces[number] = []
        self._told[number] = 0
        self._decoders[number] = self._backend.renderer.stream_decoder()
        limit = min(ask.max_tokens, context - len(prompt))
        sampler = sampler_of(ask, prompt)
        return Generation(number, adapter, prompt, limit, sampler)

    def _prompt(self, turns: Sequence[Turn]) -> list[int]:
        """Ids of a conversation; where its template has no room for a system turn, that is said."""
        render = partial(self._backend.renderer.render, generation_prompt=True, spans=False)
        with deadline(TEMPLATE_SECONDS, "the chat template"):
            try:
                return render(turns).ids
            except Refused as error:
                rest = [turn for turn in turns if turn.role != "system"]
                if len(rest) == len(turns):
                    raise
                with suppress(Refused):
                    render(rest)
                    error.hint = "It takes these turns without the system message: leave that out."
                raise

    def _in_turn(self, rows: Sequence[Generation]) -> Iterator[list[Generation]]:
        """Those that can share batches first, then every adapter that cannot, by itself."""
        kinds: dict[str, list[Generation]] = {"": []}
        for row in rows:
            kind = row.adapter if self._backend.base.alone(row.adapter) else ""
            kinds.setdefault(kind, []).append(row)
        for alike in kinds.values():
            yield from self._batches(alike)

    def _batches(self, rows: Sequence[Generation]) -> Iterator[list[Generation]]:
        base = self._backend.base
        free = psutil.virtual_memory().available
        if base.device.type == "cuda":
            free = torch.cuda.mem_get_info(base.device)[0]
        tokens = int(free * CACHE_SHARE) // base.cache_bytes_per_token()
        batch: list[Generation] = []
        for row in rows:
            # Rows come shortest first: the newest is the longest of its batch.
            needed = (len(batch) + 1) * (len(row.prompt) + row.limit)
            if batch and (len(batch) == BATCH_ROWS or needed > tokens):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _on_step(self, rows: Sequence[Generation]) -> None:
        said: list[Message] = []
        for row in rows:
            text = "" if row.stop == "turn end" else self._decoders[row.key].feed(row.ids[-1])
            self._pieces[row.key].append(text)
            if text:
                said.append(self._delta(row, text))
            if row.stop is not None:
                said.append(self._done(row))
        if said:
            self._say(*said)

    def _delta(self, row: Generation, text: str) -> Delta:
        """Everything since the last one."""
        since, pieces = self._told[row.key], self._pieces[row.key]
        self._told[row.key] = len(pieces)
        asked = self._ask.likelihoods
        return Delta(
            self._ask.id,
            self._column(row),
            text,
            len(pieces) - since,
            row.logprobs[since:] if asked else None,
            pieces[since:] if asked else None,
        )

    def _column(self, row: Generation) -> int:
        return self._rows[row.key].column

    def _done(self, row: Generation) -> Done:
        assert row.stop is not None
        return Done(
            self._ask.id,
            self._column(row),
            self._rows[row.key].model,
            text="".join(self._pieces[row.key]),
            ids=row.ids,
            tokens=len(row.ids),
            seconds=row.seconds,
            first_token_seconds=row.first,
            stop=row.stop,
            logprobs=row.logprobs if self._ask.likelihoods else None,
            pieces=self._pieces[row.key] if self._ask.likelihoods else None,
        )


def _device(lock: str) -> str:
    """The GPU, unless there is none or a training run holds it."""
    if not torch.cuda.is_available():
        return "cpu"
    with open(lock, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return "cpu"
    return "cuda"


def main() -> None:
    """Serve the base described by the JSON object given as the only argument."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    spec = json.loads(sys.argv[1])
    server = Server(
        Path(spec["socket"]),
        ChatBackend(spec),
        protocol.Request,
        keep=bool(spec["keep"]),
        idle_seconds=float(spec["idle_seconds"]),
    )
    server.run()


if __name__ == "__main__":
    main()
