"""Two and four columns in one batch against one after the other, and what four adapters weigh.

Prints, per model, the time of the answers in turn over the time of all in one batch: base and one
adapter, base and three. The 500M Llama has random weights, made on the spot; the starter is what
ships. Each time is the least of interleaved rounds; the number of threads is OMP_NUM_THREADS, else
one. Then the resident memory of a real worker with base and four adapters over base alone.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

import assets
from bench import made

if TYPE_CHECKING:
    from engine.chat.base import Base

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
CLOCK = time.process_time if THREADS == 1 else time.perf_counter
"""With one thread the time of the processor, which other programs do not stretch."""
PROMPT = list(range(10, 10 + 64))
ADAPTERS = 4
HALF_A_BILLION = {
    "hidden_size": 1536,
    "intermediate_size": 4096,
    "num_hidden_layers": 19,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
}


def main() -> None:
    """Measure and print one line each."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    import transformers

    from engine.chat import base as bases

    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(THREADS)
    fast = bases.compute_dtype(10**9, "cpu", torch.float32) == torch.bfloat16
    print(f"{THREADS} threads · bf16 {'in hardware' if fast else 'not in hardware'}", flush=True)
    with tempfile.TemporaryDirectory(prefix="workbench-bench-") as folder:
        scratch = Path(folder)
        big = made.llama(scratch / "base", HALF_A_BILLION)
        adapters = _adapters(big, scratch / "big")
        _weigh(scratch / "ws", big, adapters)
        _measure("random 500M", big, adapters, tokens=16, rounds=2)
        _measure("random 500M", big, adapters, tokens=16, rounds=1, quantization="nf4")
        starter = assets.path("starter")
        _measure("starter", starter, _adapters(starter, scratch / "small"), tokens=64, rounds=5)
    print("aims, at 500M in bfloat16: two columns 1.4x, four 2x; memory under 1.2x")


def _adapters(base: Path, folder: Path) -> list[Path]:
    """LoRAs of rank 16 on every linear layer, with a B that is not zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    tuned = get_peft_model(model, config)
    saved = [folder / str(number) for number in range(ADAPTERS)]
    for path in saved:
        with torch.no_grad():
            for name, weight in tuned.named_parameters():
                if "lora_B" in name:
                    weight.normal_(std=0.02)
        tuned.save_pretrained(path)
    return saved


def _measure(
    name: str,
    folder: Path,
    adapters: Sequence[Path],
    *,
    tokens: int,
    rounds: int,
    quantization: str | None = None,
) -> None:
    from engine.chat.base import BASE, Base
    from engine.chat.seal import Sealer

    base = Base(
        folder,
        quantization=quantization,
        double_quantization=False,
        dtype="bfloat16",
        device="cpu",
    )
    sealer = Sealer(base, PROMPT[:16])
    names = [BASE, *(base.attach(adapter) for adapter in adapters[:3])]
    assert all(seal.ok for seal in sealer.seal(names))
    asked = [[one] for one in names] + [names[:2], names]
    least = [float("inf")] * len(asked)
    _seconds(base, names, 2)
    for _ in range(rounds):
        least = [min(was, _seconds(base, of, tokens)) for was, of in zip(least, asked, strict=True)]
    *turn, two, four = least
    began = CLOCK()
    sealer.seal(names)
    sealed = CLOCK() - began
    held = quantization or str(base.dtype).removeprefix("torch.")
    print(
        f"{name:<11} {held:<8} in turn {4 * tokens / sum(turn):6.1f} tok/s"
        f" · two columns {sum(turn[:2]) / two:.2f}x"
        f" · four {sum(turn) / four:.2f}x, {4 * tokens / four:.1f} tok/s"
        f" · seal of four {1000 * sealed:,.0f} ms",
        flush=True,
    )


def _seconds(base: Base, names: Sequence[str], tokens: int) -> float:
    """Time of one answer of `tokens` ids a name, all in one batch, in seconds."""
    from engine.chat.generate import Generation, generate
    from engine.chat.sampling import Sampler

    rows = [
        Generation(number, name, PROMPT, tokens, Sampler(0.0, 1.0, 0))
        for number, name in enumerate(names)
    ]
    began = CLOCK()
    for _ in generate(
        base,
        rows,
        stop_ids=frozenset(),
        pad_id=0,
        on_step=lambda _: None,
        stopped=lambda: False,
    ):
        pass
    return CLOCK() - began


def _weigh(home: Path, base: Path, adapters: Sequence[Path]) -> None:
    """A worker's memory after an answer of the base, and of it beside four adapters."""
    from store.catalogue import Catalogue
    from store.workspace import Workspace

    with Catalogue.open(Workspace(home)) as cat:
        run = _run(cat, base, adapters)
        steps = [f"{run}@{number}" for number in range(1, ADAPTERS + 1)]
        alone, beside = _resident(cat, [str(base)]), _resident(cat, [str(base), *steps])
    print(
        f"memory of a worker: base {alone >> 20:,} MB · base and four adapters {beside >> 20:,} MB"
        f" · {beside / alone:.2f}x",
        flush=True,
    )


def _run(cat: Any, base: Path, adapters: Sequence[Path]) -> str:
    from engine.train import checkpoints
    from store import runs

    recipe = {"dtype": "bfloat16"}
    run = runs.create(cat, model=str(base), dataset="none.jsonl", recipe=recipe, seed=0)
    for step, adapter in enumerate(adapters, 1):
        files = [(file.name, file.read_bytes()) for file in sorted(adapter.iterdir())]
        checkpoints.write(cat.workspace.run_dir(run.id), step, files, {})
    return f"run:{run.id}"


def _resident(cat: Any, refs: Sequence[str]) -> int:
    """Resident bytes of a fresh worker after it answered with all these models."""
    from engine.chat.client import ChatSession, Sampling
    from engine.data.rows import Turn

    with ChatSession.open(cat, refs, keep=False) as session:
        for _ in session.ask([Turn("user", "Why is the sky blue?")], Sampling(max_tokens=4)):
            pass
        children = psutil.Process().children()
        alive = [one for one in children if one.status() != psutil.STATUS_ZOMBIE]
        return max(int(one.memory_info().rss) for one in alive)


if __name__ == "__main__":
    main()
