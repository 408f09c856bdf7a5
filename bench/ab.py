"""Base and adapter answering in one batch against one after the other.

Prints a ratio per model: the time of two answers in turn over the time of both in one batch. The
170M Llama has random weights, made on the spot; the starter is what ships. Each measurement is the
least of interleaved repetitions; the number of threads is OMP_NUM_THREADS, else one.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
CLOCK = time.process_time if THREADS == 1 else time.perf_counter
"""With one thread the time of the processor, which other programs do not stretch."""
PROMPT_TOKENS = 64
AIM = 1.4


def main() -> None:
    """Measure both models and print one line each."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    import assets
    from engine.chat import base as bases

    torch.set_num_threads(THREADS)
    fast = bases.compute_dtype(10**9, "cpu", torch.float32) == torch.bfloat16
    print(f"{THREADS} threads · bf16 {'in hardware' if fast else 'not in hardware'}")
    bases.BF16_PARAMETERS = 0 if fast else bases.BF16_PARAMETERS
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as scratch:
        big = _random_llama(Path(scratch) / "base")
        # The starter answers in float32 (it is too small for bfloat16 to pay); both are shown.
        measured = [_measure("random 170M", big, Path(scratch) / "a", tokens=24, rounds=3)]
        starter = assets.path("starter")
        measured.append(_measure("starter", starter, Path(scratch) / "b", tokens=96, rounds=5))
        bases.BF16_PARAMETERS = 10**12
        measured.append(_measure("starter", starter, Path(scratch) / "b", tokens=96, rounds=5))
    print(f"one batch against one after the other: {measured[0]:.2f}x (aim {AIM}x)")


def _random_llama(folder: Path) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=10,
        num_attention_heads=16,
        num_key_value_heads=16,
        max_position_embeddings=1024,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def _adapter(base: Path, folder: Path) -> Path:
    """A LoRA of rank 16 on every linear layer, with a B that is not zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    tuned = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.02)
    tuned.save_pretrained(folder)
    return folder


def _measure(name: str, folder: Path, scratch: Path, *, tokens: int, rounds: int) -> float:
    from engine.chat.base import BASE, Base

    adapter = scratch if scratch.exists() else _adapter(folder, scratch)
    prompt = list(range(10, 10 + PROMPT_TOKENS))
    base = Base(
        folder,
        quantization=None,
        double_quantization=False,
        dtype="float32",
        device="cpu",
        probe=prompt[:8],
    )
    tuned, seal = base.attach(adapter)
    assert seal.ok, seal.detail
    turn, batch = float("inf"), float("inf")
    _seconds(base, [BASE, tuned], prompt, 4)
    for _ in range(rounds):
        one = _seconds(base, [BASE], prompt, tokens) + _seconds(base, [tuned], prompt, tokens)
        turn = min(turn, one)
        batch = min(batch, _seconds(base, [BASE, tuned], prompt, tokens))
    dtype = str(base.dtype).removeprefix("torch.")
    print(
        f"{name:<12} {dtype:<9} in turn {2 * tokens / turn:7.0f} tok/s"
        f" · one batch {2 * tokens / batch:7.0f} tok/s · {turn / batch:.2f}x",
        flush=True,
    )
    return turn / batch


def _seconds(base: object, names: list[str], prompt: list[int], tokens: int) -> float:
    """Time of one answer of `tokens` ids a name, all in one batch, in seconds."""
    from engine.chat.base import Base
    from engine.chat.generate import Generation, generate
    from engine.chat.sampling import Sampler

    assert isinstance(base, Base)
    rows = [
        Generation(number, name, prompt, tokens, Sampler(0.0, 1.0, 0))
        for number, name in enumerate(names)
    ]
    began = CLOCK()
    generate(
        base,
        rows,
        stop_ids=frozenset(),
        pad_id=0,
        on_step=lambda _: None,
        stopped=lambda: False,
    )
    return CLOCK() - began


if __name__ == "__main__":
    main()
