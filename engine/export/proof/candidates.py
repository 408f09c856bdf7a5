"""(heavy) An export asked the questions of a proof: a GGUF file, a merged folder, an adapter.

Knows how each is opened. Does not know what the right answers are (see `proof`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from huggingface_hub.errors import StrictDataclassError
from numpy.typing import NDArray
from safetensors import SafetensorError

from engine.data.rows import Turn
from engine.export.gguf.given import Given
from engine.export.gguf.vocabulary import how_read
from engine.export.lora import WEIGHTS
from engine.export.proof.reference import Reference
from engine.export.proof.yardstick import Yardstick
from engine.export.stages import Job, Source, Target
from engine.llama.bounds import bounded
from engine.llama.client import LlamaWorker
from engine.llama.words import GIVES_UP
from engine.render.folder import read_tokenizer
from engine.render.renderer import Renderer
from store.errors import BadInput, Unsupported, WorkbenchError


class Candidate(Protocol):
    """What a proof asks of an export that brings its own tokenizer and template."""

    bos: int | None
    eos: int | None
    file_type: int | None
    context: int | None
    """Tokens that it says it holds; None for a folder, whose config.json is the trained one's."""
    given: Given
    """What has to be done to texts so that it reads them as training did."""
    unmended: Sequence[str]
    """What it is known to read otherwise all the same, in sentences."""

    def encode(self, texts: Sequence[str], *, framed: bool) -> list[list[int]]:
        """Ids of texts, special tokens in them recognised; `framed` with BOS/EOS as configured."""

    def read_chats(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of rendered conversations, framed as whoever chats with the export frames them."""

    def render(self, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
        """A conversation through the export's own chat template."""

    def stops(self, ids: Sequence[int]) -> list[bool]:
        """Whether generation ends at each id."""

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits at every position of one sequence: [len(ids), vocabulary]."""

    def greedy(self, turns: Sequence[Turn], max_tokens: int) -> list[int]:
        """The most likely answer, its stop token included."""


class GgufCandidate:
    """A GGUF file in llama.cpp, in a process of its own, with a GGUF adapter on it or none."""

    def __init__(
        self,
        file: Path,
        log: Path,
        yardstick: Yardstick,
        stack: ExitStack,
        adapter: Path | None = None,
    ) -> None:
        worker = LlamaWorker.open(file, log, n_ctx=yardstick.length)
        self._llama = stack.enter_context(worker)
        self._name = "" if adapter is None else "adapter"
        if adapter is not None:
            worker.attach(self._name, adapter)
        found = self._llama.describe()
        self.context: int | None = found.context
        self.bos: int | None = found.bos
        self.eos: int | None = found.eos
        said = found.metadata.get("general.file_type", "")
        self.file_type: int | None = int(said) if said.isdecimal() else None
        prefix = found.metadata.get("tokenizer.ggml.model") == "llama"
        prefix = prefix and found.metadata.get("tokenizer.ggml.add_space_prefix") != "false"
        self.given = Given()
        self.unmended: Sequence[str] = ()
        with suppress(Unsupported):  # else somebody else's converter knows the tokenizer
            self.given, self.unmended = how_read(yardstick.base, prefix)

    def encode(self, texts: Sequence[str], *, framed: bool) -> list[list[int]]:
        return self._llama.tokenize(texts, parse_special=True, add_bos=framed)

    def read_chats(self, texts: Sequence[str]) -> list[list[int]]:
        found = self.encode(texts, framed=True)
        return [ids[1:] if ids[:2] == [self.bos, self.bos] else ids for ids in found]

    def render(self, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
        return self._llama.render([turns], generation_prompt=generation_prompt)[0]

    def stops(self, ids: Sequence[int]) -> list[bool]:
        return self._llama.is_eog(ids)

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        return self._llama.logits([ids], model=self._name)

    def greedy(self, turns: Sequence[Turn], max_tokens: int) -> list[int]:
        return self._llama.ask([turns], max_tokens=max_tokens, model=self._name)[0].ids


class FolderCandidate:
    """A merged folder, as transformers reads it."""

    file_type: int | None = None
    context: int | None = None
    given = Given()
    unmended: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self._model = Reference(Source(ref="merged", base=str(folder), base_ref="merged"))
        with bounded("the chat template"):
            self._renderer = Renderer.load(folder)
        self._tokenizer = read_tokenizer(folder)
        self.bos = self._renderer.bos_id
        self.eos = self._renderer.eos_id

    def encode(self, texts: Sequence[str], *, framed: bool) -> list[list[int]]:
        return [self._tokenizer.encode(t, add_special_tokens=framed).ids for t in texts]

    def read_chats(self, texts: Sequence[str]) -> list[list[int]]:
        return self.encode(texts, framed=False)

    def render(self, turns: Sequence[Turn], *, generation_prompt: bool) -> str:
        with bounded("the chat template"):
            found = self._renderer.render(turns, generation_prompt=generation_prompt, spans=False)
        return found.text

    def stops(self, ids: Sequence[int]) -> list[bool]:
        return [token in self._renderer.stop_ids for token in ids]

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        return self._model.logits(ids)

    def greedy(self, turns: Sequence[Turn], max_tokens: int) -> list[int]:
        prompt = self._renderer.render(turns, generation_prompt=True, spans=False).ids
        return self._model.greedy(prompt, self._renderer.stop_ids, max_tokens)


class AdapterCandidate(FolderCandidate):
    """A PEFT folder on the base it was trained on; tokenizer and template are the base's."""

    def __init__(self, source: Source, folder: Path) -> None:
        base = Path(source.base)
        if not (folder / WEIGHTS).is_file():  # the other form is a pickle, which may do anything
            raise BadInput(f"{folder}: no {WEIGHTS} in it", "Save the adapter as safetensors.")
        self._model = Reference(msgspec.structs.replace(source, adapter=str(folder)))
        self._renderer = Renderer.load(base)
        self._tokenizer = read_tokenizer(base)
        self.bos, self.eos = self._renderer.bos_id, self._renderer.eos_id


def open_candidate(job: Job, target: Target, yardstick: Yardstick, stack: ExitStack) -> Candidate:
    """The export a target names, after a first forward pass; `stack` closes what it holds.

    Raises:
        BadInput: it cannot be opened or breaks at once; the message says why.
        Unsupported: not on this machine.
    """
    ids = yardstick.ids(yardstick.chosen(fitted=False)[0])[:4]
    try:
        found = _opened(job, target, yardstick, stack)
        sound = bool(np.isfinite(found.logits(ids)).all())
    except Unsupported:  # here, and no fault of the file
        raise
    except WorkbenchError as error:
        raise BadInput(reason(error.message), error.hint) from error
    if not sound:
        raise BadInput("what it says are no numbers", "Export it again.")
    return found


def _opened(job: Job, target: Target, yardstick: Yardstick, stack: ExitStack) -> Candidate:
    path = Path(target.path)
    match job.kind:
        case "gguf":
            return GgufCandidate(path, Path(job.log), yardstick, stack)
        case "ollama":
            return GgufCandidate(path / "model.gguf", Path(job.log), yardstick, stack)
        case "adapter-gguf":
            try:
                return GgufCandidate(job.base_gguf, Path(job.log), yardstick, stack, path)
            finally:
                if job.base is None:
                    job.base_gguf.unlink(missing_ok=True)  # llama.cpp has it open
    yardstick.make_room()
    try:
        if job.kind == "merged":
            return FolderCandidate(path)
        return AdapterCandidate(job.source, path)
    except _ITS_FAULT as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"transformers cannot load it: {why[:_SHOWN]}", "") from error


_ITS_FAULT = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""What a folder that is not whole makes its readers raise."""
_SHOWN = 200
_NOISE = re.compile(
    r"^.*?cannot load this file: |(?:\w+: )*error loading model: |^gguf_init_from_reader\w*: |"
    r"^read: |error loading model \w+: "
)


def reason(message: str) -> str:
    """Why a file cannot be opened, of llama.cpp's words only what a reader needs."""
    if GIVES_UP in message:
        return message[message.index(GIVES_UP) :]
    if "cannot load this file: " not in message:
        return message
    shown = message
    while (shorter := _NOISE.sub("", shown)) != shown:
        shown = shorter
    return f"llama.cpp cannot load it: {' '.join(shown.split())}"
