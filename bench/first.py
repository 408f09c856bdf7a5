"""How long until something is seen: to the first step, and from the last step to an answer.

Ours against the same by hand: a script with transformers, PEFT and TRL that trains, saves the
adapter, and a second one that loads base and adapter and answers. The starter, one thread, wall
clock; both sides start their processes from nothing, as one does at a prompt.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import assets
from bench import jobs, made
from bench.train import BATCH, THREADS, recipe
from engine.chat.client import ChatSession, Sampling
from engine.chat.protocol import Done
from engine.data.rows import Turn
from engine.jobs.process import environment
from engine.train import client
from store.catalogue import Catalogue
from store.workspace import Workspace

STEPS, TOKENS = 4, 16
QUESTION = "What is the capital?"
BY_HAND = """
import sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
base, adapter, question, tokens = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(base)
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
model = PeftModel.from_pretrained(model, adapter).eval()
given = tokenizer.apply_chat_template(
    [{"role": "user", "content": question}],
    add_generation_prompt=True, return_tensors="pt", return_dict=True,
)
out = model.generate(**given, max_new_tokens=int(tokens), do_sample=False)
print(tokenizer.decode(out[0]))
"""


def main() -> None:
    """Print both waits and their ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.first")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    waits: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="bench-first-") as folder,
        Catalogue.open(Workspace(Path(folder) / "ws").create()) as cat,
    ):
        data = made.chats(Path(folder) / "chats.jsonl", STEPS * BATCH)
        for _ in range(given.rounds):
            step, answer, adapter = _ours(cat, data)
            waits.setdefault("ours, first step", []).append(step)
            waits.setdefault("ours, answer", []).append(answer)
            seen = jobs.plain("tuned", assets.path("starter"), data, Path(folder), STEPS, THREADS)
            waits.setdefault("by hand, first step", []).append(seen.first_step)
            waits.setdefault("by hand, answer", []).append(_by_hand(adapter))
    print(f"waiting, best of {given.rounds}: starter, {THREADS} thread, every process from nothing")
    for what in ("first step", "answer"):
        mine, theirs = min(waits[f"ours, {what}"]), min(waits[f"by hand, {what}"])
        words = "launch to first step" if what == "first step" else "last step to first answer"
        print(f"  {words:<28} ours {mine:6.2f} s   by hand {theirs:6.2f} s   {theirs / mine:.2f}x")


def _ours(cat: Catalogue, data: Path) -> tuple[float, float, Path]:
    """Seconds to the first step, seconds from the last one to an answer, and the adapter."""
    began = time.time()
    run = client.start(cat, data, "starter", recipe(STEPS))
    first = last = 0.0
    while client.is_alive(run) or not last:
        with client.reader(cat, run.id) as run_db:
            steps = len(run_db.exact("loss"))
        first = first or (time.time() if steps else 0.0)
        last = last or (time.time() if steps >= STEPS else 0.0)
        time.sleep(0.01)
    run = client.refresh(cat, run.id)
    with ChatSession.open(cat, [f"run:{run.id}"], keep=False) as session:
        for event in session.ask([Turn("user", QUESTION)], Sampling(max_tokens=TOKENS)):
            if isinstance(event, Done):
                answered = time.time()
    adapter = cat.workspace.run_dir(run.id) / "checkpoints" / f"step-{STEPS:06d}"
    return first - began, answered - last, adapter


def _by_hand(adapter: Path) -> float:
    began = time.time()
    words = [str(assets.path("starter")), str(adapter), QUESTION, str(TOKENS)]
    subprocess.run(
        [sys.executable, "-c", BY_HAND, *words],
        env=environment({"OMP_NUM_THREADS": str(THREADS), "HF_HUB_OFFLINE": "1"}),
        capture_output=True,
        check=True,
    )
    return time.time() - began


if __name__ == "__main__":
    main()
