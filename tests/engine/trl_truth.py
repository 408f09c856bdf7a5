"""What TRL and HF datasets really do (heavy): run as a script, JSON in, JSON out.

Reads {"cases": {name: [line, …]}, "chunk": bytes} from standard input; writes for each case what
the loader and SFTTrainer made of it: the error, or the ids and labels of every row that is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> None:
    asked = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        answer = _asked(asked, Path(folder))
    json.dump(answer, sys.stdout)


def _asked(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
    import datasets
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    base = asked["base"]
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(base),
        AutoTokenizer.from_pretrained(base),
    )
    answer = {}
    for name, lines in asked["cases"].items():
        path = folder / f"{len(answer)}.jsonl"
        path.write_bytes("".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"))
        answer[name] = _one(path, asked["chunk"], folder, model, tokenizer)
    return answer


def _one(path: Path, chunk: int, folder: Path, model: Any, tokenizer: Any) -> dict[str, Any]:
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    try:
        data = load_dataset("json", data_files=str(path), split="train", chunksize=chunk)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return {"loads": False, "error": f"{error} {error.__cause__}"}
    rows = [data[0], data[len(data) - 1]] if len(data) else []
    try:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(output_dir=str(folder / "out"), use_cpu=True, report_to="none"),
            train_dataset=data,
            processing_class=tokenizer,
        )
    except Exception as error:  # noqa: BLE001
        return {"loads": True, "rows": rows, "error": f"{type(error).__name__}: {error}"}
    trained = list(trainer.train_dataset)
    return {
        "loads": True,
        "rows": rows,
        "error": None,
        "ids": [row["input_ids"] for row in trained],
        "labels": [row["labels"] for row in trained],
    }


if __name__ == "__main__":
    main()
