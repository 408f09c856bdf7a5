"""Every family of the GGUF converter against transformers, and against llama.cpp's own converter.

Tiny models with random weights in the real shapes, and the starter. For each: how far our F32 and
F16 files are from transformers in 32 bit; how far rounding the weights to F16 alone moves the
model; and how far the F16 file is from the model so rounded (llama.cpp rounds to F16 what it
multiplies such weights with, too). Then every tensor and key beside llama.cpp's own file, each
difference with its reason, and last which merge of a QLoRA training is the trained model.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray

import assets
from bench import qlora
from bench.theirs import PRE
from bench.tiny import SHAPES, build, ids_for, source_of
from bench.upstream import llama_cpp
from engine.export.gguf.convert import write_gguf
from engine.export.merge import Merged
from engine.export.proof.divergence import Divergence
from engine.export.proof.reference import Reference
from engine.export.stages import Source
from engine.llama.client import LlamaWorker
from store.errors import WorkbenchError

AIM = 1e-6
_WIDTH = 33

Keys = dict[str, Any]
Logits = list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Content:
    """What a GGUF file holds: keys, and of each tensor its type, shape and bytes."""

    keys: Keys
    tensors: dict[str, tuple[str, tuple[int, ...], bytes]]

    @property
    def arch(self) -> str:
        """llama.cpp's name of the graph."""
        return str(self.keys["general.architecture"])

    def of_graph(self, key: str) -> Any:
        """The value of a key that begins with the graph's name."""
        return self.keys.get(f"{self.arch}.{key}")

    @classmethod
    def read(cls, file: Path) -> Content:
        """Read a whole file."""
        found = gguf.GGUFReader(file)
        keys = {k: v.contents() for k, v in found.fields.items() if not k.startswith("GGUF.")}
        return cls(
            keys,
            {
                t.name: (t.tensor_type.name, tuple(map(int, t.shape)), t.data.tobytes())
                for t in found.tensors
            },
        )


def _assumed(ours: Content, key: str, value: Any) -> bool:
    """Whether a key says what llama.cpp assumes where it is missing."""
    heads = ours.of_graph("attention.head_count")
    width = ours.of_graph("embedding_length") // heads
    length = ours.of_graph("attention.key_length") or width
    layers = range(ours.of_graph("block_count"))
    usual = {
        "attention.key_length": width,
        "attention.value_length": width,
        "rope.dimension_count": length,
        "rope.freq_base": 10000.0,
        "rope.scaling.type": "none",
        "vocab_size": len(ours.keys["tokenizer.ggml.tokens"]),
        "attention.sliding_window_pattern": [(i + 1) % 4 != 0 for i in layers],
    }
    short = key.removeprefix(f"{ours.arch}.")
    return short in usual and usual[short] == value


Reason = tuple[str, Callable[[Content, Content, str], bool]]
REASONS: tuple[Reason, ...] = (
    (
        "said here, assumed there: what llama.cpp takes where the key is missing",
        lambda ours, theirs, key: (
            key not in theirs.keys and _assumed(ours, key, ours.keys.get(key))
        ),
    ),
    (
        "said there, assumed here: what llama.cpp takes where the key is missing",
        lambda ours, theirs, key: (
            key not in ours.keys and _assumed(ours, key, theirs.keys.get(key))
        ),
    ),
    (
        "names: ours is given by the user, theirs guessed from the folder's name",
        lambda _ours, _theirs, key: key in ("general.name", "general.version"),
    ),
    (
        "the card: ours takes its licence along, theirs also languages and tags",
        lambda _ours, theirs, key: (
            key in ("general.languages", "general.tags") and key in theirs.keys
        ),
    ),
    (
        "begin and end of text: ours are read from the tokenizer and always said",
        lambda _ours, theirs, key: key == "tokenizer.ggml.add_eos_token" and key not in theirs.keys,
    ),
    (
        "context: ours ends where llama.cpp's answers would become others (window, long factors)",
        lambda ours, theirs, key: (
            key.endswith(".context_length") and ours.keys[key] < theirs.keys[key]
        ),
    ),
    (
        "layers with a window: theirs leaves out that they are not the usual ones",
        lambda ours, theirs, key: (
            ours.arch == "gemma3"
            and key.endswith("sliding_window_pattern")
            and key not in theirs.keys
        ),
    ),
    (
        "YaRN's attention factor: theirs is under a key that this graph does not read",
        lambda ours, _theirs, key: (
            ours.of_graph("rope.scaling.type") == "yarn"
            and key.endswith(("rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"))
        ),
    ),
    (
        "LongRoPE's name: its factors act by being there, the name is for people",
        lambda ours, _theirs, key: ours.arch == "phi3" and key.endswith("rope.scaling.type"),
    ),
    (
        "original context: said there of a model that was never stretched, and then unused",
        lambda ours, _theirs, key: (
            key.endswith("rope.scaling.original_context_length")
            and "rope_factors_long.weight" not in ours.tensors
            and key not in ours.keys
        ),
    ),
    (
        "epsilon: theirs has a second one that this graph does not read",
        lambda ours, _theirs, key: ours.arch == "nemotron" and "rms_epsilon" in key,
    ),
    (
        "parallel layers: theirs has a key that this graph does not read (it looks for the norm)",
        lambda ours, _theirs, key: ours.arch == "stablelm" and "parallel_residual" in key,
    ),
    (
        "Phi-2's measures: theirs takes those of the published model, whatever the config says",
        lambda ours, _theirs, key: (
            ours.arch == "phi2" and key.endswith(("head_count_kv", "feed_forward_length"))
        ),
    ),
    (
        "head: the graph wants one of its own; theirs leaves out a tied one and does not load",
        lambda ours, theirs, key: (
            ours.arch == "olmo2"
            and key == "output.weight"
            and ours.tensors[key] == ours.tensors["token_embd.weight"]
            and key not in theirs.tensors
        ),
    ),
)


def differences(ours: Content, theirs: Content) -> dict[str, str | None]:
    """Every key and tensor that is not the same, with the reason if there is one."""
    found: dict[str, str | None] = {}
    mine: Keys = {**ours.keys, **ours.tensors}
    other: Keys = {**theirs.keys, **theirs.tensors}
    for key in sorted(mine.keys() | other.keys()):
        if mine.get(key) != other.get(key):
            fits = (reason for reason, holds in REASONS if holds(ours, theirs, key))
            found[key] = next(fits, None)
    return found


def _said(file: Path, folder: Path, vocabulary: int) -> Logits:
    with LlamaWorker.open(file, folder / "llama.log") as llama:
        return [llama.logits([ids]) for ids in ids_for(vocabulary)]


def _apart(reference: Logits, other: Logits, vocabulary: int) -> dict[str, float]:
    found = Divergence()
    for ids, one, two in zip(ids_for(vocabulary), reference, other, strict=True):
        found.add(one, two, ids, [0] * len(ids))
    return found.numbers()


def _reference(source: Source, vocabulary: int) -> tuple[Logits, Logits]:
    """Logits in 32 bit, and with the weights rounded to F16 as the file has them."""
    model = Reference(source)
    exact = [model.logits(ids) for ids in ids_for(vocabulary)]
    with torch.no_grad():
        for parameter in model.model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.half().float())
    return exact, [model.logits(ids) for ids in ids_for(vocabulary)]


def _write(source: Source, file: Path, type_name: str) -> None:
    base, nothing = Path(source.base), lambda _done, _total: None
    notes = {"general.name": "tiny"}
    write_gguf(Merged(source), base, type_name, file, notes=notes, on_progress=nothing)


def _theirs(vendor: Path, base: Path, out: Path) -> Content:
    command = [sys.executable, "-m", "bench.theirs", str(vendor), str(base), str(out), "f16"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: llama.cpp's converter failed on {base}:\n{done.stderr[-2000:]}")
    found = Content.read(out)
    assert found.keys.pop("tokenizer.ggml.pre") == PRE
    return found


def measure(name: str, base: Path, vendor: Path) -> tuple[float, dict[str, str | None]]:
    """Print the line of one model; the KL of its F16 file, and what llama.cpp's has otherwise."""
    source, vocabulary = source_of(base), 2048
    exact, rounded = _reference(source, vocabulary)
    for type_name in ("f32", "f16"):
        _write(source, base / f"{type_name}.gguf", type_name)
    f32 = _apart(exact, _said(base / "f32.gguf", base, vocabulary), vocabulary)["kl_mean"]
    file = _said(base / "f16.gguf", base, vocabulary)
    f16 = _apart(exact, file, vocabulary)
    rounding = _apart(exact, rounded, vocabulary)["kl_mean"]
    added = _apart(rounded, file, vocabulary)["kl_mean"]
    ours, theirs = Content.read(base / "f16.gguf"), _theirs(vendor, base, base / "theirs.gguf")
    del ours.keys["tokenizer.ggml.pre"]
    try:
        other = _apart(exact, _said(base / "theirs.gguf", base, vocabulary), vocabulary)["kl_mean"]
        upstream = f"{other:9.1e}"
    except WorkbenchError:
        upstream = "  no load"
    same = sum(ours.tensors[key] == theirs.tensors.get(key) for key in ours.tensors)
    print(
        f"{name:{_WIDTH}} {f32:8.1e} {f16['kl_mean']:8.1e} {rounding:9.1e} {added:8.1e} "
        f"{f16['top1']:6.1%} {upstream}  {same:3} of {len(ours.tensors)}",
        flush=True,
    )
    return f16["kl_mean"], differences(ours, theirs)


def main() -> int:
    """Measure all; 1 if a difference has no reason or a file is not what it should be."""
    vendor = llama_cpp()
    print("mean KL in nats from transformers in 32 bit; rounding: transformers with weights in F16")
    print(
        f"{'family':{_WIDTH}} {'F32':>8} {'F16':>8} {'rounding':>9} {'rest':>8} {'top-1':>6} "
        f"{'theirs':>9}  tensors the same"
    )
    found: dict[str, tuple[float, dict[str, str | None]]] = {}
    with tempfile.TemporaryDirectory(prefix="families-") as scratch:
        for number, (name, shape) in enumerate(SHAPES.items()):
            found[name] = measure(name, build(shape, Path(scratch) / str(number)), vendor)
        starter = Path(scratch) / "starter"
        starter.mkdir()
        for file in assets.path("starter").iterdir():
            (starter / file.name).write_bytes(file.read_bytes())
        found["the starter"] = measure("the starter", starter, vendor)
        qlora.measure(starter, Path(scratch))
    within = sum(kl < AIM for kl, _ in found.values())
    print(f"\nF16 files with a mean KL under {AIM:.0e}: {within} of {len(found)}")
    return _explain({name: different for name, (_, different) in found.items()})


def _explain(found: dict[str, dict[str, str | None]]) -> int:
    """Print every difference under its reason, in how many models; count those without."""
    reasons: dict[str | None, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, different in found.items():
        for key, reason in different.items():
            graph, _, short = key.partition(".")
            shared = graph in ("general", "tokenizer") or key.endswith(".weight")
            reasons[reason][key if shared else short].append(name)
    print(f"\nkeys and tensors that differ from llama.cpp's own file, in {len(found)} models")
    for reason, keys in reasons.items():
        print(f"  {reason or '?? UNEXPLAINED'}")
        for key, names in sorted(keys.items()):
            print(f"    {key}: {len(names)}" + ("" if reason else f" ({', '.join(names)})"))
    unexplained = sum(len(names) for names in reasons[None].values()) if None in reasons else 0
    print(f"unexplained: {unexplained}")
    return int(bool(unexplained))


if __name__ == "__main__":
    sys.exit(main())
