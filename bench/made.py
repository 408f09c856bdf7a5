"""What the training benches train: made-up chats of mixed length, and Llamas with random weights.

Both are the same at every call. Heavy libraries are imported where a model is made. `python -m
bench.made FOLDER KIND SIZES` makes one in a process of its own, which leaves nothing on a GPU.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import assets

SIXTY_MILLION = {
    "hidden_size": 640,
    "intermediate_size": 1792,
    "num_hidden_layers": 13,
    "num_attention_heads": 10,
    "num_key_value_heads": 5,
}
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def chats(path: Path, rows: int, median: int = 7, spread: float = 1.0, most: int = 60) -> Path:
    """Short chats: answers of a log-normal number of words, a third of them in two turns."""
    dice = random.Random(7)
    words = WORDS
    lines = []
    for _ in range(rows):
        messages = []
        for _ in range(2 if dice.random() < 0.33 else 1):
            asked = [dice.choice(words) for _ in range(dice.randint(2, 7))]
            length = min(max(int(dice.lognormvariate(0, spread) * median), 2), most)
            answered = [dice.choice(words) for _ in range(length)]
            messages.append({"role": "user", "content": " ".join(asked) + "?"})
            messages.append({"role": "assistant", "content": " ".join(answered) + "."})
        lines.append(json.dumps({"messages": messages}))
    path.write_text("\n".join(lines) + "\n")
    return path


def llama(folder: Path, sizes: dict[str, Any], kind: str = "llama") -> Path:
    """A model folder with random bfloat16 weights and the starter's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder.mkdir(parents=True)
    for name in _TOKENIZER:
        shutil.copy(assets.path("starter", name), folder / name)
    settings = {"vocab_size": 2048, "max_position_embeddings": 8192, **sizes}
    config = AutoConfig.for_model(
        kind, bos_token_id=1, eos_token_id=5, pad_token_id=0, dtype="bfloat16", **settings
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="4GB")
    return folder


def apart(folder: Path, sizes: dict[str, Any], kind: str) -> Path:
    """As `llama`, in another process; a folder that is there is whole, and taken as it is."""
    if not folder.is_dir():
        half = folder.with_name(f"{folder.name}.half")
        shutil.rmtree(half, ignore_errors=True)
        words = ["-m", "bench.made", str(half), kind, json.dumps(sizes)]
        done = subprocess.run([sys.executable, *words], check=False)
        if done.returncode:
            raise SystemExit(f"{folder}: the model could not be made")
        os.replace(half, folder)
    return folder


def _words() -> list[str]:
    lines = assets.path("datasets", "teacher.jsonl").read_text().splitlines()
    text = " ".join(m["content"] for line in lines for m in json.loads(line)["messages"])
    return sorted({word.strip(".,?!").lower() for word in text.split()} - {""})


WORDS = _words()
"""Words of the shipped datasets, in order."""


if __name__ == "__main__":
    llama(Path(sys.argv[1]), json.loads(sys.argv[3]), sys.argv[2])
