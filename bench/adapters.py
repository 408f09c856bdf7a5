"""How far an adapter in llama.cpp is from PEFT, by ours and by llama.cpp's own way to convert it.

Every family with LoRA on all its layers; then one Llama with every kind of adapter through both
converters, where a scaling that is wrong costs no error; then what a hot switch costs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bench.upstream
from bench.made import SIXTY_MILLION, llama
from bench.tiny import SHAPES, Shape, adapt, build, ids_for, source_of
from engine.chat.protocol import Seat
from engine.export.gguf.adapter import write_adapter_gguf, write_base_gguf
from engine.export.proof.divergence import Divergence
from engine.export.proof.reference import Reference
from engine.llama.adapters import Adapters
from engine.llama.client import LlamaWorker
from engine.llama.model import LlamaModel
from store.errors import WorkbenchError

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rsLoRA": {"use_rslora": True, "r": 16},
    "alpha pattern": {"alpha_pattern": {"q_proj": 32, "down_proj": 1}},
    "rank pattern": {"rank_pattern": {"v_proj": 2, "down_proj": 16}},
    "embedding and head": {"target_modules": ["embed_tokens", "lm_head", "q_proj"]},
    "DoRA": {"use_dora": True},
    "a whole module beside": {"modules_to_save": ["lm_head"]},
}
LIMIT = 1e-6
TIMES = 7


def main() -> int:
    """Print everything; the exit code says whether ours kept the limit."""
    with tempfile.TemporaryDirectory(prefix="wb-adapters-") as scratch:
        worst = max(families(Path(scratch)), kinds(Path(scratch)))
        switches(Path(scratch))
    print(f"\nworst of ours {worst:.0e} (limit {LIMIT:.0e})")
    return int(worst > LIMIT)


def families(scratch: Path) -> float:
    """Ours for every family; the worst divergence."""
    print("every family: mean KL from PEFT in 32 bit (of the whole fine-tune)")
    worst = 0.0
    for number, (name, shape) in enumerate(SHAPES.items()):
        folder = scratch / f"family-{number}"
        base = build(shape, folder / "base")
        adapter = adapt(base, folder / "adapter", shape.adapted)
        found = _ours(base, adapter, folder)
        if isinstance(found, str):
            print(f"  {name:38} refused: {found}")
            continue
        worst = max(worst, found[0])
        print(f"  {name:38} {found[0]:8.1e}  ({found[1]:.2g})")
    return worst


def kinds(scratch: Path) -> float:
    """Ours and llama.cpp's for every kind of adapter; the worst of ours."""
    vendor = bench.upstream.llama_cpp()
    base = build(Shape("Llama"), scratch / "kinds")
    print("\nkinds of adapters on a Llama: mean KL from PEFT in 32 bit")
    print(f"  {'':24}{'fine-tune':>12}{'ours':>12}   convert_lora_to_gguf.py")
    worst = 0.0
    for number, (name, settings) in enumerate(KINDS.items()):
        folder = scratch / f"kind-{number}"
        adapter = adapt(base, folder / "adapter", SHAPES["Mistral"].adapted, **settings)
        found = _ours(base, adapter, folder)
        theirs = _theirs(vendor, base, adapter, folder)
        if isinstance(found, str):
            print(f"  {name:24}{'':12}{'refused':>12}   {theirs}")
        else:
            worst = max(worst, found[0])
            print(f"  {name:24}{found[1]:12.2g}{found[0]:12.1e}   {theirs}")
    return worst


def switches(scratch: Path) -> None:
    """What it costs that two adapters take turns, on a base of 60 million weights."""
    base = llama(scratch / "sixty", SIXTY_MILLION)
    seats = []
    for name in ("one", "two"):
        adapter = adapt(base, scratch / name, SHAPES["Mistral"].adapted, r=16)
        trained = source_of(base, adapter, dtype="bfloat16")
        path = adapter.with_suffix(".gguf")
        write_adapter_gguf(trained, path, notes={}, on_progress=_ignore)
        seats.append(Seat(name, str(path)))
    write_base_gguf(trained, scratch / "sixty.gguf", on_progress=_ignore)
    ids = [token for row in ids_for(2048) for token in row]
    with _quiet(scratch / "switch.log"):
        model = LlamaModel(
            scratch / "sixty.gguf", context=512, limit=512, threads=1, exact=False, gpu_layers=0
        )
        columns = Adapters(model)
        seals = [seal for _, seal in columns.attach(seats)]

        def ask(*names: str, anew: bool) -> None:
            for name in names:
                columns.wear(name)
                if anew:
                    model.forget()
                model.prompt(ids)

        alone = _each(lambda: ask("one", "one", anew=True)) / 2
        turns = _each(lambda: ask("one", "two", anew=True)) / 2
        again = _each(lambda: ask("one", "one", anew=False)) / 2
        on = _each(lambda: ask("one", "two", anew=False)) / 2
    print(f"\ntwo adapters in turns, {len(ids)} tokens read (sealed: {seals[0].detail})")
    print(f"  all read anew       {turns * 1e3:7.1f} ms, without a switch {alone * 1e3:7.1f} ms")
    print(f"  from its own cache  {on * 1e3:7.1f} ms, without a switch {again * 1e3:7.1f} ms")
    print(f"  kept caches make a switch {turns / on:.0f}x as fast")


def _ours(base: Path, adapter: Path, folder: Path) -> tuple[float, float] | str:
    """Divergence of our file and of the base alone from PEFT; or why it is refused."""
    source = source_of(base, adapter)
    try:
        write_base_gguf(source, folder / "base.gguf", on_progress=_ignore)
        write_adapter_gguf(source, folder / "adapter.gguf", notes={}, on_progress=_ignore)
    except WorkbenchError as error:
        return error.message
    return _divergences(folder / "base.gguf", folder / "adapter.gguf", base, adapter)


def _theirs(vendor: Path, base: Path, adapter: Path, folder: Path) -> str:
    out = folder / "theirs.gguf"
    command = [sys.executable, str(vendor / "convert_lora_to_gguf.py"), str(adapter)]
    command += ["--base", str(base), "--outfile", str(out), "--outtype", "f32"]
    paths = os.pathsep.join([str(vendor / "gguf-py"), str(vendor)])
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"exit code {done.returncode}: {done.stderr.strip().splitlines()[-1]}"
    found = _divergences(folder / "base.gguf", out, base, adapter)
    return f"{found[0]:.1e}{'  without a word' if found[0] > LIMIT else ''}"


def _divergences(file: Path, on: Path, base: Path, adapter: Path) -> tuple[float, float]:
    trained = Reference(source_of(base, adapter))
    found, whole = Divergence(), Divergence()
    with LlamaWorker.open(file, file.with_suffix(".log")) as worker:
        worker.attach("adapter", on)
        for ids in ids_for(2048):
            right, none = trained.logits(ids), [0] * len(ids)
            found.add(right, worker.logits([ids], model="adapter"), ids, none)
            whole.add(right, trained.logits(ids, base=True), ids, none)
    return found.numbers()["kl_mean"], whole.numbers()["kl_mean"]


def _each(act: Callable[[], None]) -> float:
    """Seconds that it takes, the median of some."""
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """What llama.cpp says in this process goes to a file."""
    kept = os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _ignore(_done: int, _total: int) -> None:
    """Progress is not told here."""


if __name__ == "__main__":
    sys.exit(main())
