"""Pre-training of the starter model (heavy): a plain PyTorch loop over generated conversations.

Knows the model's shape, batching by length, the loss and the optimiser, and how to measure answers.
Does not know what the conversations say, nor where the folder ends up (``build.py``).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from engine.starter import world
from engine.starter.tokenizer import BOS, END, MAX_POSITIONS, PAD, ROLE_TOKENS

_POOL = 8192  # conversations drawn and sorted by length at a time


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights: shape, length of training, optimiser, seed."""

    vocab_size: int = 2048
    hidden_size: int = 256
    intermediate_size: int = 768
    layers: int = 5
    heads: int = 8
    kv_heads: int = 4
    steps: int = 1300
    tokens_per_step: int = 8192
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    warmup: int = 40
    weight_decay: float = 0.05
    nf4_from: float = 0.5  # from this share on, every other step sees its weights through NF4
    seed: int = 7
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model and the loss (mean per assistant token, nats) at its first and last steps."""

    model: LlamaForCausalLM
    first_loss: float
    last_loss: float
    seconds: float


def build_model(recipe: Recipe, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """A freshly initialised model of the recipe's shape, float32."""
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=recipe.vocab_size,
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=MAX_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=token_id(tokenizer, BOS),
        eos_token_id=token_id(tokenizer, END),
        pad_token_id=token_id(tokenizer, PAD),
    )
    # On a CPU and for turns this short, plain attention is faster than the fused one.
    model = LlamaForCausalLM._from_config(config, attn_implementation="eager")
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        do_sample=False,
        max_new_tokens=128,
    )
    return model


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of ``token``.

    Raises:
        KeyError: the tokenizer does not have it.
    """
    found: int | None = tokenizer.token_to_id(token)
    if found is None:
        raise KeyError(token)
    return found


class Encoder:
    """Turns conversations into ids and a loss mask, as the chat template renders."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids = {token: token_id(tokenizer, token) for token in (BOS, END, PAD)}
        self._roles = {role: token_id(tokenizer, token) for role, token in ROLE_TOKENS.items()}
        self._text = lru_cache(maxsize=200_000)(self._encode)
        self._line_end = self._text("\n")

    @property
    def pad(self) -> int:
        """The id of the padding token."""
        return self._ids[PAD]

    @property
    def end(self) -> int:
        """The id of the token that ends a turn."""
        return self._ids[END]

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode(
        self, messages: Sequence[world.Message], prompt: bool = False
    ) -> tuple[list[int], list[bool]]:
        """Ids, and whether each is the assistant's; ``prompt`` adds the header of an answer."""
        ids, mask = [self._ids[BOS]], [False]
        for message in messages:
            head = [self._roles[message["role"]], *self._line_end]
            body = [*self._text(message["content"]), self._ids[END]]
            said = message["role"] == "assistant"
            ids += [*head, *body, *self._line_end]
            mask += [False] * len(head) + [said] * len(body) + [False] * len(self._line_end)
        if prompt:
            ids += [self._roles["assistant"], *self._line_end]
        return ids, mask


def batches(encoder: Encoder, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless ``(ids, mask)`` of shape (rows, length), rows of similar lengths together.

    Padding is on the right, where causal attention never looks, and is masked.
    """
    rng = random.Random(recipe.seed)
    limit = recipe.tokens_per_step // recipe.threads
    while True:
        pool = sorted(
            (encoder.encode(world.conversation(rng)) for _ in range(_POOL)),
            key=lambda pair: len(pair[0]),
        )
        cut: list[list[tuple[list[int], list[bool]]]] = [[]]
        for pair in pool:
            if (len(cut[-1]) + 1) * len(pair[0]) > limit:
                cut.append([])
            cut[-1].append(pair)
        rng.shuffle(cut)
        for rows in cut:
            length = max(len(ids) for ids, _ in rows)
            ids = torch.full((len(rows), length), encoder.pad)
            mask = torch.zeros((len(rows), length), dtype=torch.bool)
            for row, (tokens, said) in enumerate(rows):
                ids[row, : len(tokens)] = torch.tensor(tokens)
                mask[row, : len(tokens)] = torch.tensor(said)
            yield ids, mask


def _rate(step: int, recipe: Recipe) -> float:
    """The share of the learning rates at ``step``: warm-up, then a cosine down to nothing."""
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return 0.5 * (1 + math.cos(math.pi * done))


def _optimisers(model: LlamaForCausalLM, recipe: Recipe) -> tuple[torch.optim.Optimizer, ...]:
    """Muon (Jordan et al., 2024) for the layers' matrices, AdamW for embeddings and norms."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    known = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in known]
    return (
        torch.optim.Muon(matrices, lr=recipe.muon_rate, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    )


def _gradients(
    model: LlamaForCausalLM, ids: Tensor, mask: Tensor
) -> tuple[Sequence[Tensor], float, int]:
    """Gradients and value of the loss summed over the masked tokens, and how many these are."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[:, :-1][mask[:, 1:]])
    loss = nn.functional.cross_entropy(logits.float(), ids[:, 1:][mask[:, 1:]], reduction="sum")
    return torch.autograd.grad(loss, list(model.parameters())), float(loss.detach()), len(logits)


def train(tokenizer: Tokenizer, recipe: Recipe) -> Trained:
    """Train a model from scratch; the same recipe gives the same weights on the same machine.

    Each thread works on a batch of its own: matrices this small gain little from sharing one.
    """
    torch.set_num_threads(1)
    model = build_model(recipe, tokenizer).train()
    optimisers = _optimisers(model, recipe)
    peaks = [group["lr"] for optimiser in optimisers for group in optimiser.param_groups]
    source = batches(Encoder(tokenizer), recipe)
    losses: list[float] = []
    tokens, started = 0, time.perf_counter()
    with ThreadPoolExecutor(recipe.threads) as pool:
        for step in range(recipe.steps):
            groups = [group for optimiser in optimisers for group in optimiser.param_groups]
            for group, peak in zip(groups, peaks, strict=True):
                group["lr"] = peak * _rate(step, recipe)
            rough = step % 2 == 1 and step >= recipe.nf4_from * recipe.steps
            exact = through_nf4(model) if rough else {}
            drawn = [next(source) for _ in range(recipe.threads)]
            parts = list(pool.map(lambda pair: _gradients(model, *pair), drawn))
            with torch.no_grad():
                for weight, value in exact.items():
                    weight.copy_(value)
            count = sum(part[2] for part in parts)
            gradients = zip(*(part[0] for part in parts), strict=True)
            for parameter, shares in zip(model.parameters(), gradients, strict=True):
                parameter.grad = torch.stack(shares).sum(0) / count
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser in optimisers:
                optimiser.step()
            losses.append(sum(part[1] for part in parts) / count)
            tokens += sum(ids.numel() for ids, _ in drawn)
            if step % 50 == 49 or step == recipe.steps - 1:
                speed = tokens / (time.perf_counter() - started)
                recent = sum(losses[-50:]) / len(losses[-50:])
                print(f"step {step + 1:5d}  loss {recent:.4f}  {speed:,.0f} tokens/s", flush=True)
    edge = max(1, min(20, recipe.steps // 4))
    return Trained(
        model.eval(),
        sum(losses[:edge]) / edge,
        sum(losses[-edge:]) / edge,
        time.perf_counter() - started,
    )


@torch.no_grad()
def through_nf4(model: LlamaForCausalLM) -> dict[Tensor, Tensor]:
    """Replace every linear weight but the head by what NF4 with double quantisation keeps of it.

    Returns the weights as they were.
    """
    exact: dict[Tensor, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and name != "lm_head":
            exact[module.weight] = module.weight.detach().clone()
            packed, state = quantize_4bit(
                module.weight.data, blocksize=64, compress_statistics=True, quant_type="nf4"
            )
            module.weight.copy_(dequantize_4bit(packed, state))
    return exact


@torch.no_grad()
def answers(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    questions: Sequence[world.Question],
    max_new_tokens: int = 96,
) -> list[str | None]:
    """Greedy answers, in order; None where the model had not stopped by itself."""
    encoder = Encoder(tokenizer)
    found: list[str | None] = [None] * len(questions)
    by_length: dict[int, list[tuple[int, list[int]]]] = {}
    for index, question in enumerate(questions):
        messages = [{"role": "system", "content": question.system}] if question.system else []
        messages.append({"role": "user", "content": question.prompt})
        ids, _ = encoder.encode(messages, prompt=True)
        by_length.setdefault(len(ids), []).append((index, ids))
    for length, rows in by_length.items():
        made = model.generate(
            input_ids=torch.tensor([ids for _, ids in rows]),
            attention_mask=torch.ones((len(rows), length), dtype=torch.long),
            do_sample=False,
            max_new_tokens=max_new_tokens,
        )
        for (index, _), ids in zip(rows, made[:, length:].tolist(), strict=True):
            if encoder.end in ids:
                found[index] = tokenizer.decode(ids[: ids.index(encoder.end)])
    return found


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Write config, generation config and bfloat16 weights as transformers does."""
    model.to(torch.bfloat16).save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
