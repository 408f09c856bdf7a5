"""Model references: `starter`, `hub:org/name`, a folder, `file.gguf`, `run:ID`, `run:ID@STEP`.

`BASE.gguf+ADAPTER.gguf` is a file with an adapter on it. That and a run's reference may end in
`*S`, e.g. `run:12@400*0.5`: the adapter at that strength; `run:12*0` is the base alone as that
training held it. Knows how a reference becomes paths. Does not load anything and does not talk to
the network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import assets
from engine.models.gguf import check_pair, is_adapter
from engine.train import checkpoints, stopping
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, NotFound
from store.rundb import RunReader

Kind = Literal["starter", "hub", "folder", "gguf", "run"]

FORMS = "starter, hub:org/name, a folder, file.gguf, BASE.gguf+ADAPTER.gguf, run:ID or run:ID@STEP"
STRONGEST = 4.0
"""An adapter's strength is at most this."""
_RUN = re.compile(r"run:(\d+)(?:@(\d+))?")
_STRENGTH = re.compile(r"(.+)\*(\d+(?:\.\d*)?|\.\d+)")
_PLUS = re.compile(r"\.gguf\+")
_HUB = re.compile(r"hub:([\w.-]+/[\w.-]+)")


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A reference as it was written, taken apart."""

    text: str
    kind: Kind
    path: Path | None = None
    name: str | None = None
    run_id: int | None = None
    step: int | None = None
    adapter: Path | None = None
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class Model:
    """What a reference stands for, as paths.

    Attributes:
        ref: the reference with run step filled in, e.g. `run:12@400` or `run:12@400*0.5`.
        label: short words for a title.
        base: folder of base weights; None for a GGUF file.
        base_ref: reference of the base alone.
        adapter: PEFT folder to apply to the base; for a GGUF file, another such file.
        gguf: file for llama.cpp.
        quantization: how training loaded the base (`nf4`, or None for dense weights).
        dtype: precision in which the base is loaded.
        base_sha256: what the base's weights were when the run began; None without a run.
        strength: what the adapter's change is multiplied by.
    """

    ref: str
    label: str
    base: Path | None
    base_ref: str
    adapter: Path | None = None
    gguf: Path | None = None
    run_id: int | None = None
    step: int | None = None
    quantization: Literal["nf4"] | None = None
    double_quantization: bool = True
    dtype: str = "float32"
    base_sha256: str | None = None
    strength: float = 1.0

    @property
    def renderer_folder(self) -> Path | None:
        """Where the tokenizer and the chat template lie; None for a bare GGUF file."""
        return self.base


def parse(text: str) -> ModelRef:
    """Take a reference apart.

    Raises:
        BadInput: it has none of the known forms.
        NotFound: it is a path at which nothing lies.
    """
    text = text.strip()
    if (strong := _STRENGTH.fullmatch(text)) and not Path(text).expanduser().exists():
        return _at_strength(text, parse(strong[1]), float(strong[2]))
    if text == "starter":
        return ModelRef(text, "starter")
    if match := _RUN.fullmatch(text):
        step = int(match[2]) if match[2] else None
        return ModelRef(text, "run", run_id=int(match[1]), step=step)
    if match := _HUB.fullmatch(text):
        return ModelRef(text, "hub", name=match[1])
    if text.startswith(("run:", "hub:")) or not text:
        raise BadInput(f"model '{text}': expected {FORMS}", "For example: --model run:12@400")
    path = Path(text).expanduser()
    if not path.exists() and (pair := _pair(text)):
        return pair
    if path.is_dir():
        return ModelRef(text, "folder", path=path.resolve())
    if path.is_file():
        if path.suffix != ".gguf":
            raise BadInput(f"model '{text}': a file must end in .gguf", f"Expected {FORMS}.")
        return ModelRef(text, "gguf", path=path.resolve())
    raise NotFound(f"model '{text}': nothing lies there", f"Expected {FORMS}.")


def _pair(text: str) -> ModelRef | None:
    """A GGUF file with an adapter on it; either name may have a + of its own."""
    cuts = [found.end() for found in _PLUS.finditer(text)]
    pairs = [(Path(text[: at - 1]).expanduser(), Path(text[at:]).expanduser()) for at in cuts]
    for base, adapter in pairs:
        if base.is_file() and adapter.is_file():
            return ModelRef(text, "gguf", path=base.resolve(), adapter=adapter.resolve())
    for base, adapter in pairs[:1]:
        missing = adapter if base.is_file() else base
        raise NotFound(f"model '{text}': no file {missing}", "Expected BASE.gguf+ADAPTER.gguf.")
    return None


def _at_strength(text: str, ref: ModelRef, strength: float) -> ModelRef:
    if (ref.kind != "run" and ref.adapter is None) or ref.strength != 1:
        raise BadInput(
            f"model '{text}': only the adapter of a run or on a GGUF file has a strength",
            "As in run:12@400*0.5 or BASE.gguf+ADAPTER.gguf*0.5.",
        )
    if strength > STRONGEST or (not strength and ref.kind != "run"):
        raise BadInput(
            f"model '{text}': expected a strength over 0 and up to {STRONGEST:g}",
            "1 is the adapter as it was trained; run:12*0 is the base alone as a run held it.",
        )
    return replace(ref, text=text, strength=strength)


def whole(model: Model) -> Model:
    """The same model, for who cannot do with a part of an adapter.

    Raises:
        BadInput: it is one at another strength.
    """
    if model.strength != 1:
        raise BadInput(
            f"{model.ref}: another strength is only for talking and checking",
            f"Take {model.ref.partition('*')[0]}.",
        )
    return model


def resolve(cat: Catalogue | None, text: str) -> Model:
    """Find the files behind a reference.

    Args:
        cat: the catalogue that knows the runs; needed for `run:` alone.
    Raises:
        BadInput, NotFound: the reference is malformed, or names what does not exist.
    """
    ref = parse(text)
    match ref.kind:
        case "starter":
            return Model("starter", "starter", assets.path("starter"), "starter")
        case "folder":
            assert ref.path is not None
            return Model(str(ref.path), ref.path.name, ref.path, str(ref.path))
        case "gguf":
            return _resolve_gguf(ref)
        case "hub":
            assert ref.name is not None
            folder = hub_folder(ref.name)
            return Model(ref.text, ref.name, folder, ref.text)
        case "run":
            return _resolve_run(cat, ref)


def base_of(cat: Catalogue, run: runs.Run) -> Path | None:
    """The base of a run, with the tokens that its recipe adds.

    Raises:
        BadInput, NotFound: the base is gone.
    """
    base, tokens = resolve(cat, run.model).base, run.recipe.get("add_tokens")
    if base is None or not tokens:
        return base
    from engine.models.grown import grow  # it needs numpy, which no other reference does

    return grow(cat.workspace, base, tokens)


def hub_folder(name: str) -> Path:
    """The newest downloaded snapshot of `org/name` in the local Hugging Face cache.

    Raises:
        NotFound: it has not been downloaded.
    """
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    root = Path(os.environ.get("HF_HUB_CACHE", home / "hub")) / f"models--{name.replace('/', '--')}"
    main = root / "refs" / "main"
    if main.is_file():
        folder = root / "snapshots" / main.read_text().strip()
        if (folder / "config.json").is_file():
            return folder
    raise NotFound(
        f"hub:{name}: not in the local cache ({root.parent})",
        f"Download it once where there is a network: hf download {name}",
    )


def candidates(cat: Catalogue) -> list[tuple[str, str]]:
    """References to choose from, with a label each: the starter, then runs, newest first."""
    found = [("starter", "starter · the shipped base")]
    for run in runs.all(cat):
        steps = _steps(cat, run.id)
        if steps:
            found.append((f"run:{run.id}", f"run {run.id} · {run.name} · {len(steps)} checkpoints"))
            found += [(f"run:{run.id}@{step}", f"run {run.id} · step {step}") for step in steps]
    return found


def _resolve_gguf(ref: ModelRef) -> Model:
    assert ref.path is not None
    base, adapter = ref.path, ref.adapter
    if adapter is None:
        if is_adapter(base):
            raise BadInput(
                f"model '{ref.text}': is an adapter, which answers only on a base",
                f"Name that before it: BASE.gguf+{base.name}",
            )
        return Model(str(base), base.name, None, str(base), gguf=base)
    check_pair(base, adapter)
    strength = _strength_words(ref.strength)
    return Model(
        f"{base}+{adapter}{strength}",
        f"{base.name}+{adapter.name}{strength}",
        None,
        str(base),
        adapter=adapter,
        gguf=base,
        strength=ref.strength,
    )


def _strength_words(strength: float) -> str:
    return "" if strength == 1 else f"*{strength:g}"


def _resolve_run(cat: Catalogue | None, ref: ModelRef) -> Model:
    if cat is None or ref.run_id is None:
        raise BadInput(f"model '{ref.text}': runs need a workspace", "Give --workspace DIR.")
    run = runs.get(cat, ref.run_id)
    saved = checkpoints.complete(cat.workspace.run_dir(run.id))
    steps = [checkpoint.step for checkpoint in saved]
    if not steps:
        raise NotFound(
            f"run:{run.id}: no checkpoint yet (the run is {run.status})",
            "Wait for the first checkpoint, or resume the run.",
        )
    step = ref.step if ref.step is not None else _preferred(cat, run, saved)
    if step not in steps:
        listed = ", ".join(str(s) for s in steps)
        raise NotFound(f"run:{run.id}@{step}: no such checkpoint", f"There are: {listed}.")
    base = resolve(cat, run.model)
    recipe = run.recipe
    folder = base_of(cat, run)
    strength = _strength_words(ref.strength)
    alone = not ref.strength
    quantised = " nf4" if recipe.get("load_in_4bit") else ""
    return Model(
        ref=f"run:{run.id}*0" if alone else f"run:{run.id}@{step}{strength}",
        label=f"{base.label}{quantised}" if alone else f"{run.name} @{step}{strength}",
        base=folder,
        base_ref=base.ref if folder == base.base else str(folder),
        adapter=None if alone else checkpoints.folder(cat.workspace.run_dir(run.id), step),
        run_id=None if alone else run.id,
        step=None if alone else step,
        quantization="nf4" if recipe.get("load_in_4bit") else None,
        double_quantization=bool(recipe.get("bnb_4bit_use_double_quant", True)),
        dtype=str(recipe.get("dtype", "float32")),
        base_sha256=run.base_sha256,
        strength=ref.strength or 1.0,
    )


def _preferred(cat: Catalogue, run: runs.Run, saved: Sequence[checkpoints.Checkpoint]) -> int:
    """The promoted step, else the best by the recipe's `keep_best`, else the newest.

    Read off the checkpoints that are there: the catalogue may not have heard of the newest yet,
    and `run:ID` must not mean one thing before someone looks at the run and another after.
    """
    if run.promoted_step in [checkpoint.step for checkpoint in saved]:
        return run.promoted_step
    metric = str(run.recipe.get("keep_best") or stopping.EVAL_LOSS)
    with RunReader.open(cat.workspace.run_dir(run.id) / "run.db") as run_db:
        best = stopping.best_saved(run_db, metric, saved)
    return best if best is not None else saved[-1].step


def _steps(cat: Catalogue, run_id: int) -> list[int]:
    """Steps of the complete checkpoints of a run, in order."""
    return sorted(saved.step for saved in checkpoints.complete(cat.workspace.run_dir(run_id)))
