"""(heavy) A base and an adapter as the harness wants a language model.

Knows likelihoods of texts and greedy answers, in batches. The texts are the harness's, rendered
with our template where it asks for that; weights are held as in chat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lm_eval.api.model import TemplateLM

from engine.chat.base import Base
from engine.chat.generate import Generation, generate
from engine.chat.sampling import Sampler
from engine.data.rows import Turn
from engine.render.renderer import Renderer
from store.errors import Unsupported

BATCH = 16
_ANSWER = 256
"""Tokens of an answer where a task does not say."""
Scored = tuple[float, bool]


class OurModel(TemplateLM):  # type: ignore[misc]
    """One model of ours; `name` is the adapter's in `Base.rows`."""

    def __init__(self, base: Base, renderer: Renderer, name: str, ref: str) -> None:
        super().__init__()
        self._base, self._renderer, self._name, self._ref = base, renderer, name, ref
        self._device = base.device

    @property
    def eot_token_id(self) -> int:
        """What stands before a text without a context, and ends one."""
        found = self._renderer.bos_id
        if found is None:
            found = self._renderer.eos_id
        if found is None:
            raise Unsupported(
                f"{self._ref}: the tokenizer has neither a first nor a last token",
                "Choose tasks that generate answers.",
            )
        return found

    @property
    def tokenizer_name(self) -> str:
        return self._ref

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        return self._renderer.template_source if chat_template else ""

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The conversation as the model was trained to read it."""
        turns = [Turn(one["role"], one["content"]) for one in chat_history]
        made = self._renderer.render(turns, generation_prompt=add_generation_prompt, spans=False)
        return made.text

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: object
    ) -> list[int]:
        del add_special_tokens  # the text has them, or the task wants none
        return self._renderer.encode(string)

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: object
    ) -> list[Scored]:
        return self._scored([(context, wanted) for _, context, wanted in requests])

    def loglikelihood_rolling(self, requests: Sequence[Any], **_: object) -> list[float]:
        """Of whole texts, each token once, with as much context as the model holds."""
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        sums = []
        for request in requests:
            windows = get_rolling_token_windows(
                token_list=self._renderer.encode(request.args[0]),
                prefix_token=self.eot_token_id,
                max_seq_len=(self._base.context or 4096) - 1,
                context_len=1,
            )
            pairs = [make_disjoint_window(window) for window in windows]
            sums.append(sum(score for score, _ in self._scored(pairs)))
        return sums

    @torch.inference_mode()
    def _scored(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored]:
        """Of (context, continuation): its log-likelihood, and whether greedy would say it.

        A context that is too long loses its beginning.
        """
        found: dict[int, Scored] = {}
        order = sorted(range(len(pairs)), key=lambda i: sum(map(len, pairs[i])))
        most = self._base.context or 1 << 30
        for some in _parts(order, BATCH):
            rows = [([*pairs[i][0], *pairs[i][1]][-most:], len(pairs[i][1])) for i in some]
            longest = max(len(ids) for ids, _ in rows)
            ids = torch.zeros((len(rows), longest), dtype=torch.long, device=self._base.device)
            mask = torch.zeros_like(ids)
            for row, (own, _) in enumerate(rows):
                ids[row, : len(own)] = torch.tensor(own)
                mask[row, : len(own)] = 1
            with self._base.rows([self._name] * len(rows)):
                logits = self._base.model(input_ids=ids, attention_mask=mask).logits
            for row, (i, (own, count)) in enumerate(zip(some, rows, strict=True)):
                if not count:
                    found[i] = (0.0, True)
                    continue
                said = logits[row, len(own) - count - 1 : len(own) - 1].float().log_softmax(-1)
                wanted = ids[row, len(own) - count : len(own)]
                score = float(said.gather(-1, wanted[:, None]).sum())
                found[i] = (score, bool((said.argmax(-1) == wanted).all()))
        return [found[i] for i in range(len(pairs))]

    def generate_until(self, requests: Sequence[Any], **_: object) -> list[str]:
        """Greedy answers, each until one of its stop texts, the end of the turn or its limit."""
        rows = [self._row(number, *request.args) for number, request in enumerate(requests)]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i][0].prompt))
        said: dict[int, str] = {}
        for some in _parts(order, BATCH):
            self._answer([rows[i] for i in some], said)
        return [said[i] for i in range(len(rows))]

    def _row(
        self, number: int, context: str, settings: dict[str, Any]
    ) -> tuple[Generation, list[str]]:
        if settings.get("do_sample") and settings.get("temperature", 1.0) > 0:
            raise Unsupported(
                f"{self._ref}: a task wants sampled answers, which are not given here",
                "Choose tasks whose answers are greedy.",
            )
        until = settings.get("until") or []
        limit = int(settings.get("max_gen_toks", settings.get("max_tokens", _ANSWER)))
        most = self._base.context or 1 << 30
        limit = min(limit, most - 1)
        prompt = self._renderer.encode(context)[-(most - limit) :]
        row = Generation(number, self._name, prompt, limit, Sampler(0.0, 1.0, 0))
        return row, [until] if isinstance(until, str) else [text for text in until if text]

    def _answer(self, rows: Sequence[tuple[Generation, list[str]]], said: dict[int, str]) -> None:
        decoders = {row.key: self._renderer.stream_decoder() for row, _ in rows}
        stops = {row.key: until for row, until in rows}
        said |= {row.key: "" for row, _ in rows}

        def on_step(stepped: Sequence[Generation]) -> None:
            for row in stepped:
                if row.stop != "turn end":
                    said[row.key] += decoders[row.key].feed(row.ids[-1])
                ends = [at for text in stops[row.key] if (at := said[row.key].find(text)) >= 0]
                if ends:
                    said[row.key] = said[row.key][: min(ends)]
                    row.stop = row.stop or "turn end"

        pad = self._renderer.pad_id
        for _ in generate(
            self._base,
            [row for row, _ in rows],
            stop_ids=frozenset(self._renderer.stop_ids),
            pad_id=0 if pad is None else pad,
            on_step=on_step,
            stopped=lambda: False,
        ):
            pass


def _parts(order: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]
