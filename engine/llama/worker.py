"""(heavy) The process that holds one GGUF file: `python -m engine.llama.worker SPEC`.

Knows how a conversation becomes an answer with the file's own template and tokenizer: rendered
once, tokenised once, one begin-of-sequence token. Does not know the socket (see `chat.server`).
A hostile file may end this process; its log then holds the reason.
"""

from __future__ import annotations

import codecs
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.chat.protocol import (
    Ask,
    AskRow,
    Attach,
    Delta,
    Done,
    Failed,
    Loading,
    Ready,
    Sealed,
    Started,
    StopReason,
)
from engine.chat.sampling import log_probability, sampler_of
from engine.chat.server import Say, Server
from engine.data.rows import Turn
from engine.llama import protocol
from engine.llama.adapters import Adapters
from engine.llama.bounds import bounded
from engine.llama.model import LlamaModel
from engine.render.template import ChatTemplate, TemplateRefused
from store.errors import BadInput, NoSpace, Unsupported, WorkerDied

CHAT_CONTEXT = 8192
MAX_RENDERED = 8_000_000
"""Characters that a conversation may become: more than any context holds."""
_SHOWN = 400
"""Characters of what a foreign template says itself."""
_TOO_MUCH = "wants more memory than any conversation needs"
_OWN_TEMPLATE = "Use the template that came with the model."


class LlamaBackend:
    """Answers requests from one file.

    Args:
        spec: `path`, `context` (0: as trained, at most 8,192), `exact`, `threads`, `gpu_layers`.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._model: LlamaModel
        self._adapters: Adapters
        self._template: ChatTemplate | None = None

    def open(self, say: Say) -> Ready:
        """Load the file."""
        path = Path(str(self._spec["path"]))
        say(Loading(f"loading {path.name} into llama.cpp"))
        self._model = LlamaModel(
            path,
            context=int(self._spec.get("context", 0)),
            limit=CHAT_CONTEXT,
            threads=int(self._spec["threads"]),
            exact=bool(self._spec.get("exact", False)),
            gpu_layers=int(self._spec.get("gpu_layers", 0)),
        )
        self._adapters = Adapters(self._model)
        return Ready(path.name, "llama.cpp", "GGUF")

    def handle(self, request: Any, say: Say, stopped: Callable[[], bool]) -> Iterator[None]:
        """Answer one request, row after row."""
        match request:
            case Ask():
                for row in request.rows:
                    self._answer(request, row, say, stopped)
                    yield
            case Attach(number, seats):
                for seat, seal in self._adapters.attach(seats):
                    say(Sealed(number, seat.model, seal.ok, seal.detail))
                if not self._adapters.sound:
                    raise WorkerDied(
                        "the model in memory is not the file any more",
                        "Ask again: a fresh worker reads it anew.",
                    )
            case protocol.Describe(number):
                say(self._describe(number))
            case protocol.Tokenize(number, texts, parse, add):
                ids = [
                    self._model.tokenize(text, parse_special=parse, add_special=add)
                    for text in texts
                ]
                say(protocol.Tokens(number, ids))
            case protocol.Render(number, conversations, generation_prompt):
                texts = [self._render(turns, generation_prompt) for turns in conversations]
                say(protocol.Texts(number, texts))
            case protocol.Count(number, conversations):
                counts = [len(self.prompt_ids(turns)) for turns in conversations]
                say(protocol.Counts(number, counts, self._model.context))
            case protocol.EndOfGeneration(number, ids):
                say(protocol.Flags(number, [self._model.is_end(token) for token in ids]))
            case protocol.Logits():
                say(self._logits(request, stopped))
            case _:
                raise BadInput("this worker cannot do that", "Use the same version on both sides.")

    def _describe(self, number: int) -> protocol.Description:
        model = self._model
        return protocol.Description(
            number,
            metadata=model.metadata(),
            template=model.template_source,
            vocabulary=model.vocabulary,
            context=model.trained_context,
            context_used=model.context,
            bos=model.bos,
            eos=model.eos,
            eot=model.eot,
            add_bos=model.add_bos,
            add_eos=model.add_eos,
        )

    def _render(self, turns: Sequence[Turn], generation_prompt: bool) -> str:
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        try:
            with bounded("the chat template"):
                if self._template is None:
                    self._template = self._model.template()
                text = self._template.render(messages, generation_prompt=generation_prompt).text
        except MemoryError as error:
            raise BadInput(f"the file's chat template {_TOO_MUCH}", _OWN_TEMPLATE) from error
        except TemplateRefused as error:
            if isinstance(error.__cause__, MemoryError):
                raise BadInput(f"the file's chat template {_TOO_MUCH}", _OWN_TEMPLATE) from error
            roles = [turn.role for turn in turns]
            way = "the system message" if "system" in roles else "what it does not know"
            raise BadInput(
                f"the file's chat template refuses these turns ({' '.join(roles)}): "
                f"{str(error)[:_SHOWN]}",
                f"Leave out {way}, or change the order of the turns.",
            ) from error
        if len(text) > MAX_RENDERED:
            raise BadInput(
                f"the file's chat template writes {len(text):,} characters; expected under "
                f"{MAX_RENDERED:,}",
                _OWN_TEMPLATE,
            )
        return text

    def prompt_ids(self, turns: Sequence[Turn]) -> list[int]:
        """The prompt: a template that writes the begin token itself gets no second one."""
        text = self._render(turns, True)
        ids = self._model.tokenize(text, parse_special=True, add_special=False)
        model = self._model
        if model.add_bos and model.bos >= 0 and (not ids or ids[0] != model.bos):
            ids.insert(0, model.bos)
        return ids

    def _answer(self, ask: Ask, row: AskRow, say: Say, stopped: Callable[[], bool]) -> None:
        try:
            self._adapters.wear(row.model)
            prompt = self.prompt_ids(row.turns)
            room = self._model.context - len(prompt)
            if room < 1 or not prompt:
                raise BadInput(
                    f"the conversation has {len(prompt):,} tokens; this file holds "
                    f"{self._model.context:,}",
                    "Shorten the conversation.",
                )
        except (BadInput, Unsupported) as error:
            say(Failed(ask.id, error.message, error.hint, row.column))
            return
        say(Started(ask.id, row.column, prompt, self._model.context))
        said = _Said(ask, row)
        sampler = sampler_of(ask, prompt)
        stop: StopReason = "length"
        while len(said.ids) < min(ask.max_tokens, room):
            if stopped():
                stop = "stopped"
                break
            logits = self._model.step(said.ids[-1]) if said.ids else self._model.prompt(prompt)
            token = sampler.pick(logits)
            ended = self._model.is_end(token)
            say(*said.add(token, b"" if ended else self._model.piece(token), logits))
            if ended:
                stop = "turn end"
                break
        say(said.end(stop))

    def _logits(self, ask: protocol.Logits, stopped: Callable[[], bool]) -> protocol.LogitsWritten:
        positions = sum(len(ids) for ids in ask.sequences)
        vocabulary = self._model.vocabulary
        head = np.lib.format.header_data_from_array_1_0(np.empty((0, vocabulary), np.float32))
        self._adapters.wear(ask.model)
        try:
            # Written, not mapped: a disk without room for a mapped page ends the process.
            with open(ask.path, "wb") as out:
                shape = (positions, vocabulary)
                np.lib.format.write_array_header_1_0(out, {**head, "shape": shape})
                for ids in ask.sequences:
                    for block in self._model.all_logits(ids):
                        out.write(np.ascontiguousarray(block).data)
                        if stopped():
                            raise BadInput("the comparison was stopped", "Start it again.")
        except OSError as error:
            size = positions * vocabulary * 4
            raise NoSpace(
                f"{Path(ask.path).parent}: no room for {size / 1e6:,.0f} MB ({error.strerror})",
                "Make room there, or set TMPDIR to another folder.",
            ) from error
        return protocol.LogitsWritten(ask.id, positions, vocabulary)


class _Said:
    """What a row has said, and how that is told."""

    def __init__(self, ask: Ask, row: AskRow) -> None:
        self._ask = ask
        self._row = row
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._began = time.monotonic()
        self._first = 0.0
        self._told = 0
        self.ids: list[int] = []
        self._pieces: list[str] = []
        self._logprobs: list[float] = []

    def add(self, token: int, text: bytes, logits: NDArray[np.float32]) -> list[Delta]:
        """One more token; what is to be told now."""
        self._first = self._first or time.monotonic() - self._began
        self.ids.append(token)
        self._pieces.append(self._decoder.decode(text))
        if self._ask.likelihoods:
            self._logprobs.append(log_probability(logits, token))
        return self._delta()

    def end(self, stop: StopReason) -> Done:
        """The whole answer; half a character at its end is left out."""
        asked = self._ask.likelihoods
        return Done(
            self._ask.id,
            self._row.column,
            self._row.model,
            text="".join(self._pieces),
            ids=self.ids,
            tokens=len(self.ids),
            seconds=time.monotonic() - self._began,
            first_token_seconds=self._first,
            stop=stop,
            logprobs=self._logprobs if asked else None,
            pieces=self._pieces if asked else None,
        )

    def _delta(self) -> list[Delta]:
        """All since the last one, if it shows anything."""
        since, asked = self._told, self._ask.likelihoods
        pieces = self._pieces[since:]
        if not any(pieces):
            return []
        self._told = len(self._pieces)
        return [
            Delta(
                self._ask.id,
                self._row.column,
                "".join(pieces),
                len(pieces),
                self._logprobs[since:] if asked else None,
                pieces if asked else None,
            )
        ]


def main() -> None:
    """Serve the file named in the JSON object given as the only argument."""
    spec = json.loads(sys.argv[1])
    server = Server(
        Path(spec["socket"]),
        LlamaBackend(spec),
        protocol.Request,
        keep=bool(spec["keep"]),
        idle_seconds=float(spec["idle_seconds"]),
    )
    server.run()


if __name__ == "__main__":
    main()
