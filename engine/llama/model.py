"""(heavy) One GGUF file in llama.cpp's own API: tokens, template, logits.

Knows ctypes and which of llama.cpp's calls take a foreign file. Does not know sockets or answers.
Only the low-level API is used: the high-level one allocates logits for a whole window, picks chat
formats by itself and prints. What llama.cpp logs goes to standard error, control bytes visible.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from engine.render.template import ChatTemplate
from store.errors import BadInput, Unsupported
from store.visible import visible

MAX_LOGIT_BYTES = 64 * 1024 * 1024
"""Logits that llama.cpp holds at once when every position is asked for."""
MAX_SAVED_BYTES = 256 * 1024 * 1024
Saved = tuple[list[int], ctypes.Array[ctypes.c_uint8]]
"""Ids, and what the cache holds for them."""
_BATCH = 512
_DEBUG_LEVEL, _ERROR_LEVEL = 1, 4


_complaints: list[str] = []


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    if level == _DEBUG_LEVEL:  # a page of them at every switch of adapters
        return
    line = visible(text.decode("utf-8", "replace"), keep_newlines=True)
    if level == _ERROR_LEVEL:
        _complaints.append(line.strip())
    sys.stderr.write(line)
    sys.stderr.flush()


def _complaint() -> str:
    """Why llama.cpp refused something, without the names of its functions."""
    first = next(iter(_complaints), "it says no reason")
    return re.sub(r"^(\w+: )+(failed to apply lora adapter: )?", "", first)


class LlamaModel:
    """A loaded file with one context.

    Args:
        context: positions to hold; 0 takes what the file was trained for, at most `limit`.
        exact: keep the cache in float32 and use no flash attention, for proofs.
    Raises:
        BadInput: llama.cpp cannot load the file.
        Unsupported: it has no text vocabulary or does not fit into memory.
    """

    def __init__(
        self, path: Path, *, context: int, limit: int, threads: int, exact: bool, gpu_layers: int
    ) -> None:
        llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        model_options = llama_cpp.llama_model_default_params()
        model_options.n_gpu_layers = gpu_layers
        model_options.check_tensors = True
        # The AMX repacking crashes at batches over one token (ggml-org/llama.cpp#20824).
        model_options.use_extra_bufts = False
        self._model = llama_cpp.llama_model_load_from_file(bytes(path), model_options)
        if not self._model:
            raise BadInput(
                f"{path}: llama.cpp cannot load this file: {_complaint()}",
                "Export it again, or choose another file.",
            )
        self._vocab: Any = llama_cpp.llama_model_get_vocab(self._model)
        self.vocabulary = int(llama_cpp.llama_vocab_n_tokens(self._vocab))
        self.trained_context = int(llama_cpp.llama_model_n_ctx_train(self._model))
        wanted = context or min(self.trained_context or limit, limit)
        if wanted <= 0:  # llama.cpp keeps what a file says as a signed number
            key = f"{self.metadata().get('general.architecture')}.context_length"
            said = self.metadata().get(key)
            raise BadInput(
                f"{path}: key {key} is {said}: expected a number of tokens under 2,147,483,648",
                "Export it again, or choose another file.",
            )
        if self.vocabulary <= 0:
            raise Unsupported(f"{path}: no text model in this file", "Choose a chat model.")
        self._all_batch = max(1, min(_BATCH, MAX_LOGIT_BYTES // (4 * self.vocabulary)))
        self._context: Any = llama_cpp.llama_init_from_model(
            self._model, self._options(wanted, threads, exact)
        )
        if not self._context:
            raise Unsupported(
                f"{path}: no memory for a context of {wanted:,} tokens",
                "Ask for a shorter context, or free memory.",
            )
        self.context = int(llama_cpp.llama_n_ctx(self._context))
        self._memory: Any = llama_cpp.llama_get_memory(self._context)
        self._batch: Any = llama_cpp.llama_batch_init(_BATCH, 0, 1)
        self._held: list[int] = []
        self._worn: tuple[Any, float] = (None, 1.0)
        self.bos = int(llama_cpp.llama_vocab_bos(self._vocab))
        self.eos = int(llama_cpp.llama_vocab_eos(self._vocab))
        self.eot = int(llama_cpp.llama_vocab_eot(self._vocab))
        self.add_bos = bool(llama_cpp.llama_vocab_get_add_bos(self._vocab))
        self.add_eos = bool(llama_cpp.llama_vocab_get_add_eos(self._vocab))
        source = llama_cpp.llama_model_chat_template(self._model, None)
        self.template_source = None if source is None else source.decode("utf-8", "replace")

    def _options(self, context: int, threads: int, exact: bool) -> Any:
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = context
        options.n_batch = options.n_ubatch = _BATCH
        options.n_seq_max = 1
        options.n_threads = options.n_threads_batch = threads
        options.no_perf = True
        options.swa_full = True
        if exact:
            options.type_k = options.type_v = llama_cpp.GGML_TYPE_F32
            options.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        return options

    def metadata(self) -> dict[str, str]:
        """Every key of the file with its value as text; long arrays as llama.cpp shortens them."""
        found: dict[str, str] = {}
        for index in range(llama_cpp.llama_model_meta_count(self._model)):
            key = self._meta(llama_cpp.llama_model_meta_key_by_index, index)
            found[key] = self._meta(llama_cpp.llama_model_meta_val_str_by_index, index)
        return found

    def _meta(self, call: Any, index: int) -> str:
        size = 256
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = int(call(self._model, index, buffer, size))
            if length < size:
                return buffer.raw[: max(0, length)].decode("utf-8", "replace")
            size = length + 1

    def template(self) -> ChatTemplate:
        """The file's own chat template, compiled in the sandbox.

        Raises:
            Unsupported: the file has none.
            BadInput: it is not a template.
        """
        if self.template_source is None:
            raise Unsupported(
                "this file has no chat template",
                "Export it from an instruction-tuned model, or add tokenizer.chat_template.",
            )
        special = {
            name: self.piece(token, special=True).decode("utf-8", "replace")
            for name, token in (("bos_token", self.bos), ("eos_token", self.eos))
            if token >= 0
        }
        return ChatTemplate(self.template_source, special)

    def tokenize(self, text: str, *, parse_special: bool, add_special: bool) -> list[int]:
        """Ids of a text by the file's tokenizer."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        for _ in range(2):
            buffer = (llama_cpp.llama_token * room)()
            count = int(
                llama_cpp.llama_tokenize(
                    self._vocab, data, len(data), buffer, room, add_special, parse_special
                )
            )
            if count >= 0:
                return list(buffer[:count])
            room = -count
        raise BadInput("llama.cpp cannot tokenise a text", "Ask about a shorter text.")

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes a token stands for; control tokens are empty unless `special`."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = int(
                llama_cpp.llama_token_to_piece(self._vocab, token, buffer, size, 0, special)
            )
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    def is_end(self, token: int) -> bool:
        """Whether generation ends at this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

    def prompt(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after `ids`, shape (vocabulary,); what the cache shares with them is reused."""
        same = 0
        for held, wanted in zip(self._held, ids[:-1], strict=False):
            if held != wanted:
                break
            same += 1
        if not llama_cpp.llama_memory_seq_rm(self._memory, 0, same, -1):
            self.forget()
            same = 0
        self._held = list(ids[:same])
        for start in range(same, len(ids), _BATCH):
            part = ids[start : start + _BATCH]
            self._decode(part, every=False)
        return self._row(-1)

    def step(self, token: int) -> NDArray[np.float32]:
        """Logits after one more token, shape (vocabulary,)."""
        self._decode([token], every=False)
        return self._row(-1)

    def read_adapter(self, path: Path) -> Any:
        """A LoRA adapter to this model, for `wear`; by itself it changes nothing.

        Raises:
            BadInput: llama.cpp cannot read it, or it is to another model.
            Unsupported: it acts only behind certain tokens (aLoRA).
        """
        _complaints.clear()
        adapter = llama_cpp.llama_adapter_lora_init(self._model, bytes(path))
        if not adapter:
            raise BadInput(
                f"{path}: llama.cpp cannot use this adapter: {_complaint()}",
                "Name the base that it was made for, or export it again.",
            )
        if llama_cpp.llama_adapter_get_alora_n_invocation_tokens(adapter):
            self.drop_adapter(adapter)
            raise Unsupported(
                f"{path}: an adapter that acts only behind certain tokens (aLoRA)",
                "Use llama-server for it.",
            )
        return adapter

    def wear(self, adapter: Any, strength: float = 1.0) -> None:
        """Compute with an adapter from now on; None is the file itself.

        What the cache holds was computed by another model then, so a change empties it.
        """
        if (adapter, strength) == self._worn:
            return
        one = llama_cpp.llama_adapter_lora_p_ctypes * 1
        chosen, scales = one(adapter), (ctypes.c_float * 1)(strength)
        count = 0 if adapter is None else 1
        if llama_cpp.llama_set_adapters_lora(self._context, chosen, count, scales) != 0:
            raise Unsupported("llama.cpp refuses the adapter", "Read the worker's log.")
        self._worn = (adapter, strength)
        self.forget()

    def drop_adapter(self, adapter: Any) -> None:
        """Free an adapter."""
        if self._worn[0] == adapter:
            self.wear(None)
        llama_cpp.llama_adapter_lora_free(adapter)

    def saved(self) -> Saved | None:
        """A copy of the cache for `restore`; None where it is empty or over `MAX_SAVED_BYTES`."""
        size = int(llama_cpp.llama_state_seq_get_size(self._context, 0))
        if not self._held or size > MAX_SAVED_BYTES:
            return None
        state = (ctypes.c_uint8 * size)()
        if llama_cpp.llama_state_seq_get_data(self._context, state, size, 0) != size:
            return None
        return list(self._held), state

    def restore(self, saved: Saved) -> None:
        """Put back what the same model, with the same adapter on, computed before."""
        self.forget()
        held, state = saved
        if llama_cpp.llama_state_seq_set_data(self._context, state, len(state), 0):
            self._held = list(held)
        else:
            self.forget()

    def forget(self) -> None:
        """Empty the cache."""
        llama_cpp.llama_memory_clear(self._memory, True)
        self._held = []

    def all_logits(self, ids: Sequence[int]) -> Iterator[NDArray[np.float32]]:
        """Logits at every position of one sequence, in blocks of shape (n, vocabulary).

        A block is valid until the next is asked for.
        """
        self.forget()
        for start in range(0, len(ids), self._all_batch):
            part = ids[start : start + self._all_batch]
            self._decode(part, every=True)
            pointer = llama_cpp.llama_get_logits(self._context)
            yield np.ctypeslib.as_array(pointer, shape=(len(part), self.vocabulary))
        self.forget()

    def _decode(self, ids: Sequence[int], *, every: bool) -> None:
        for token in ids:
            if not 0 <= token < self.vocabulary:
                raise BadInput(
                    f"token id {token} is outside the vocabulary of {self.vocabulary:,}",
                    "Compare the file with the model it was made from.",
                )
        if len(self._held) + len(ids) > self.context:
            raise BadInput(
                f"{len(self._held) + len(ids):,} tokens do not fit into a context of "
                f"{self.context:,}",
                "Shorten the conversation, or open the file with a longer context.",
            )
        batch = self._batch
        batch.n_tokens = len(ids)
        for index, token in enumerate(ids):
            batch.token[index] = token
            batch.pos[index] = len(self._held) + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = every or index == len(ids) - 1
        code = int(llama_cpp.llama_decode(self._context, batch))
        if code != 0:
            self.forget()
            raise Unsupported(
                f"llama.cpp stopped with code {code} while reading the prompt",
                "Read the worker's log; a shorter context may help.",
            )
        self._held += ids

    def _row(self, index: int) -> NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary,)).copy()
