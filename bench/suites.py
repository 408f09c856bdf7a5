"""A suite of 200 prompts on a base and eight checkpoints against nine separate `generate` runs.

Ours is the job behind `workbench check`, from nothing: processes, models, answers, verdicts. Theirs
is what people write: for each of the nine the base is loaded again, the adapter put on it and every
prompt asked through transformers' `generate`, one by one or in batches of 32, padded by hand, as
nine runs of a script and as one that does all nine; of the eight checkpoints two are measured for
all. One thread each, greedy, eight tokens at most; seconds of the processor, which other programs
do not stretch. The second time nothing has to be asked. The checkpoints are those of a real, short
run of the starter.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

import assets
from engine.checks import jobs, suite
from engine.checks.run import known
from engine.checks.series import refs_of
from engine.jobs.process import environment
from engine.models.refs import resolve
from engine.train import client as training
from engine.train.progress import follow
from engine.train.recipe import load as load_recipe
from engine.train.recipe import with_sets
from store.catalogue import Catalogue
from store.workspace import Workspace

TOKENS, PROMPTS, CHECKPOINTS = 8, 200, 8
AIM, AIM_AGAIN = 4, 50
_BATCH = 32
_LOOK_S = 0.5
"""What is spent after the last look is not seen."""
_MEASURED = (0, 1, -1)
"""Of theirs: the base, the first and the last checkpoint."""
_SUITE = """
name = "two hundred"
max_tokens = TOKENS
[[group]]
prompts_file = "prompts.jsonl"
[[group.check]]
kind = "regex"
value = '[\\w.]'
"""


def main() -> None:
    """Train, ask both ways, and print the ratios."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with (
        tempfile.TemporaryDirectory(prefix="bench-suites-") as folder,
        Catalogue.open(Workspace(Path(folder) / "ws").create()) as cat,
    ):
        prompts = [prompt.text for _, prompt in suite.load("general").asked][:PROMPTS]
        lines = "".join(json.dumps({"prompt": text}) + "\n" for text in prompts)
        (Path(folder) / "prompts.jsonl").write_text(lines)
        (Path(folder) / "suite.toml").write_text(_SUITE.replace("TOKENS", str(TOKENS)))
        refs = refs_of(cat, _trained(cat))
        assert len(refs) == CHECKPOINTS + 1
        print(f"{len(prompts)} prompts on base and {len(refs) - 1} checkpoints, {TOKENS} tokens")
        first, again, ours = _ours(cat, str(Path(folder) / "suite.toml"), refs)
        adapters = [resolve(cat, ref).adapter for ref in refs]
        one, start, one_said = _theirs(prompts, adapters, 1)
        many, _, many_said = _theirs(prompts, adapters, _BATCH)
    starts = len(refs) * start
    print("  seconds of the processor")
    print(f"  ours, the first time                 {first:8.1f} s")
    for words, took, aim in (
        ("nine runs of generate, one by one", one + starts, f"  aim {AIM}x"),
        (f"nine runs of generate, batches of {_BATCH}", many + starts, ""),
        ("one run of all nine, one by one", one, ""),
        (f"one run of all nine, batches of {_BATCH}", many, ""),
    ):
        print(f"  {words:<37}{took:8.1f} s   {took / first:5.1f}x{aim}")
    words, ratio = "ours, the second time", (one + starts) / again
    print(f"  {words:<37}{again:8.2f} s   {ratio:5.0f}x  aim {AIM_AGAIN}x")
    for name, said in (("one by one", one_said), ("in batches", many_said)):
        same = sum(a == b for a, b in zip(ours, said, strict=True))
        print(f"  answers that are the same as {name}: {same / len(ours):.1%}")


def _trained(cat: Catalogue) -> int:
    """A run of the starter with eight checkpoints, all of them kept."""
    sets = [
        "max_steps=40",
        "save_steps=5",
        "save_total_limit=0",
        "per_device_train_batch_size=4",
        "load_in_4bit=false",
    ]
    recipe = with_sets(load_recipe("habit-starter"), sets)
    run = training.start(cat, assets.path("datasets", "habit.jsonl"), "starter", recipe)
    for _ in follow(cat, run.id):
        pass
    return run.id


def _ours(cat: Catalogue, path: str, refs: list[str]) -> tuple[float, float, list[str]]:
    """Seconds of the first and of the second time, and the answers."""
    spent: dict[int, float] = {}
    looked = 0.0
    others = {*psutil.pids()}  # the run's process may still be there

    def look(_: object) -> None:
        """What the job and its chat worker have spent; neither is a child that is waited for."""
        nonlocal looked
        if time.monotonic() - looked < _LOOK_S:
            return
        for pid in {*psutil.pids()} - others:
            with contextlib.suppress(psutil.Error):
                other = psutil.Process(pid)
                if str(cat.workspace.root) in " ".join(other.cmdline()):
                    times = other.cpu_times()
                    spent[pid] = times.user + times.system
        looked = time.monotonic()

    read = suite.load(path, cat)
    jobs.follow(cat, jobs.start(cat, [read], refs), look)
    began = time.process_time()
    assert known(cat, read, refs)[1] == 0
    first = sum(spent.values()) + time.process_time() - began
    began = time.process_time()
    results, missing = known(cat, suite.load(path, cat), refs)
    again = time.process_time() - began
    assert missing == 0
    measured = [results[place] for place in _MEASURED]
    return first, again, [item.answer for result in measured for item in result.items]


def _theirs(
    prompts: list[str], adapters: list[Path | None], batch: int
) -> tuple[float, float, list[str]]:
    """Seconds for all nine, to start once, and the answers of some, of a script as people write."""
    some = [adapters[place] for place in _MEASURED]
    given = {
        "base": str(assets.path("starter")),
        "adapters": [None if adapter is None else str(adapter) for adapter in some],
        "prompts": prompts,
        "batch": batch,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.suites", "theirs"],
        input=json.dumps(given),
        env=environment({"HF_HUB_OFFLINE": "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    base, *tuned = told["seconds"]
    nine = base + (len(adapters) - 1) * sum(tuned) / len(tuned)
    return nine, told["start"], told["answers"]


def _by_hand() -> None:
    """The script: the base again for each of the models."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    started = time.process_time()
    given = json.load(sys.stdin)
    said, seconds = [], []
    for adapter in given["adapters"]:
        began = time.process_time()
        tokenizer = AutoTokenizer.from_pretrained(given["base"], padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(given["base"], dtype=torch.float32)
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapter)
        model.eval()
        asked = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
            )
            for text in given["prompts"]
        ]
        for start in range(0, len(asked), given["batch"]):
            some = tokenizer(
                asked[start : start + given["batch"]],
                return_tensors="pt",
                padding=True,
                add_special_tokens=False,
            )
            with torch.inference_mode():
                out = model.generate(
                    input_ids=some["input_ids"],
                    attention_mask=some["attention_mask"],
                    max_new_tokens=TOKENS,
                    do_sample=False,
                )
            new = out[:, some["input_ids"].shape[1] :]
            said += tokenizer.batch_decode(new, skip_special_tokens=True)
        seconds.append(time.process_time() - began)
    print(json.dumps({"start": started, "seconds": seconds, "answers": said}))


if __name__ == "__main__":
    _by_hand() if sys.argv[1:] == ["theirs"] else main()
