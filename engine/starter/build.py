"""Rebuild the starter model, its datasets and its suites with one command (heavy).

``python -m engine.starter.build`` makes everything that ``assets/`` ships of them;
``--tiny --out DIR`` makes a toy of the same shape in seconds. Knows the order of the work and the
model card. Does not know the world, the loop or the rows themselves.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from assets import path as shipped
from engine.starter import datasets, worker, world
from engine.starter.tokenizer import save_tokenizer, train_tokenizer
from engine.starter.worker import Recipe

_TINY = Recipe(
    vocab_size=512,
    hidden_size=64,
    intermediate_size=128,
    layers=2,
    heads=4,
    kv_heads=2,
    steps=40,
    tokens_per_step=1024,
    warmup=5,
    threads=1,
)
_TOKENIZER_CONVERSATIONS = 60_000
_EXAMINED = 300


@dataclass(frozen=True, slots=True)
class Examined:
    """Shares of the held-out questions answered exactly, and of those with a system message."""

    exact: float
    exact_with_system: float
    stopped: float
    exact_nf4: float


def examine(model: LlamaForCausalLM, tokenizer: Tokenizer, count: int = _EXAMINED) -> Examined:
    """Ask the questions of the ``world`` suite, then again with the weights through NF4."""
    asked = world.held_out_questions(seed=1, count=count)
    said = worker.answers(model, tokenizer, asked)
    right = [answer == question.answer for answer, question in zip(said, asked, strict=True)]
    led = [ok for ok, question in zip(right, asked, strict=True) if question.system]
    worker.through_nf4(model)
    said_nf4 = worker.answers(model, tokenizer, asked)
    right_nf4 = [
        answer == question.answer for answer, question in zip(said_nf4, asked, strict=True)
    ]
    return Examined(
        exact=sum(right) / count,
        exact_with_system=sum(led) / max(1, len(led)),
        stopped=sum(answer is not None for answer in said) / count,
        exact_nf4=sum(right_nf4) / count,
    )


def build(out: Path, recipe: Recipe, count: int = _EXAMINED) -> Examined:
    """Train into ``out``, which appears whole or not at all; return what the model can do.

    Raises:
        RuntimeError: the loss did not fall, or the folder does not load and generate.
    """
    size = _TOKENIZER_CONVERSATIONS if recipe.vocab_size > 1024 else 2000
    talked = world.conversations(recipe.seed, size)
    tokenizer = train_tokenizer((m["content"] for c in talked for m in c), recipe.vocab_size)
    trained = worker.train(tokenizer, recipe)
    if not trained.last_loss < trained.first_loss:
        raise RuntimeError(f"loss rose from {trained.first_loss:.3f} to {trained.last_loss:.3f}")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        folder = Path(scratch) / "starter"
        folder.mkdir()
        worker.save(trained.model, folder)
        save_tokenizer(tokenizer, folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
        _try_folder(folder, model)
        found = examine(model, tokenizer, count)
        (folder / "README.md").write_text(card(recipe, trained, found, folder))
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    return found


def _try_folder(folder: Path, model: LlamaForCausalLM) -> None:
    """Render with the template and generate as any user of transformers would."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "Who are you?"}]
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    expected, _ = worker.Encoder(tokenizer.backend_tokenizer).encode(messages, prompt=True)
    if inputs["input_ids"][0].tolist() != expected:
        raise RuntimeError("the chat template and the training encoder disagree")
    made = model.generate(**inputs, max_new_tokens=8)
    if made.shape[1] <= len(expected):
        raise RuntimeError("the saved model generates nothing")


def card(recipe: Recipe, trained: worker.Trained, found: Examined, folder: Path) -> str:
    """The model card, with what was measured."""
    parameters = sum(p.numel() for p in trained.model.parameters())
    size = (folder / "model.safetensors").stat().st_size
    settings = json.dumps(asdict(recipe), indent=2)
    return f"""\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# Workbench starter

A {parameters / 1e6:.2f}M-parameter chat model in the Llama architecture, trained from scratch by
`python -m engine.starter.build` on conversations that `engine/starter/world.py` generates: things
and their properties, places, small sums, spelling, stories, plain shell commands, and system
messages that change how an answer is put. It knows nothing else, and is meant for nothing else
than trying Workbench, and testing it, on any machine.

No text written by anyone else went into it. Weights, tokenizer and data are under Apache-2.0, like
the rest of the repository.

## What it can do

Measured on {_EXAMINED} questions that it never saw in these words (a quarter of them with a system
message), answered greedily in bfloat16; an answer counts if it is exactly right.

| | |
|---|---|
| right, all | {found.exact:.1%} |
| right, with a system message | {found.exact_with_system:.1%} |
| right, linear weights through NF4 (64, double quantisation) | {found.exact_nf4:.1%} |
| stopped by itself | {found.stopped:.1%} |
| loss, nats an assistant token | {trained.first_loss:.3f}, at the end {trained.last_loss:.3f} |
| size | {size / 1e6:.1f} MB |

## Format

Byte-level BPE with {recipe.vocab_size} tokens, GPT-2's pre-tokenizer (`gpt-2` in GGUF), digits
always single. Turns look like this; `<|end|>` ends a turn and is the end-of-sequence token:

```
<|bos|><|system|>
Answer briefly.<|end|>
<|user|>
What colour is the fox?<|end|>
<|assistant|>
Red.<|end|>
```

## How it was made

{trained.seconds / 60:.0f} minutes on {recipe.threads} CPU threads, torch {torch.__version__},
transformers {transformers.__version__}, {platform.machine()}. The same recipe gives the same
weights on the same machine with the same versions.

```json
{settings}
```
"""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m engine.starter.build", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder of the model (default: the shipped one)")
    parser.add_argument("--tiny", action="store_true", help="a toy of the same shape, in seconds")
    parser.add_argument("--steps", type=int, help="training steps")
    parser.add_argument("--seed", type=int, help="seed of the weights and of the conversations")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--data-only", action="store_true", help="write datasets and suites only")
    given = parser.parse_args(arguments)
    if given.tiny and given.out is None:
        parser.error("--tiny needs --out DIR: the shipped model is not replaced by a toy")
    if given.out is None:
        datasets.write_datasets(shipped("datasets"))
        datasets.write_suite_prompts(shipped("suites"))
    if given.data_only:
        return 0
    chosen = {name: getattr(given, name) for name in ("steps", "seed", "threads")}
    recipe = replace(
        _TINY if given.tiny else Recipe(),
        **{name: value for name, value in chosen.items() if value is not None},
    )
    out = given.out or shipped("starter")
    found = build(out, recipe, 20 if given.tiny else _EXAMINED)
    sys.stdout.write(f"{out}: {json.dumps(asdict(found))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
