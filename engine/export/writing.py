"""(heavy) Every kind of export under its temporary name, from one reading of the trained model.

Knows which file comes from which: what we write ourselves from the merged weights, what llama.cpp's
quantiser makes from one file in 16 bits. Does not know whether they are right (`proof`).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from engine.export.files import parts_folder, remove, stem_of
from engine.export.folder import SHARD_BYTES, write_adapter, write_merged
from engine.export.gguf.adapter import write_adapter_gguf, write_base_gguf
from engine.export.gguf.checkout import Checkout
from engine.export.gguf.convert import gguf_names, write_gguf
from engine.export.gguf.importance import Importance, importance
from engine.export.gguf.splits import split
from engine.export.merge import Merged
from engine.export.ollama.modelfile import MODEL, write_ollama
from engine.export.plan import context_of
from engine.export.proof.reference import Reference
from engine.export.proof.samples import MAX_LENGTH, Sample, held_out, read_for_importance
from engine.export.stages import Facts, Job, Stage, Target
from engine.export.telling import Teller
from engine.export.types import ExportType, choose
from engine.models.folder import file_sha256, read_json
from engine.render.renderer import Renderer
from store.errors import NoSpace, Unsupported, WorkbenchError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)
"""None: numpy tells of a short write without a number."""


class Writer:
    """Writes the targets of a job.

    Args:
        facts: what a file says of where it comes from.
    Attributes:
        written: what lies where, by type; the first part of a file that was divided.
        refused: why others could not be written, by type.
    """

    def __init__(self, job: Job, facts: Facts, teller: Teller) -> None:
        self._job = job
        self._facts = facts
        self._teller = teller
        known = [target.type for target in job.targets if target.type]  # a foreign file's is not
        self._types = {name: choose(job.kind, name) for name in known}
        self.written = {target.type: target for target in job.targets}
        self.refused: dict[str, WorkbenchError] = {}

    def write(self) -> None:
        """Write what can be written.

        Raises:
            WorkbenchError: nothing can be, and why.
        """
        job = self._job
        self._teller.say(Stage("write", "running", "reading the adapter and the base"))
        if job.kind == "adapter":
            write_adapter(job.source, Path(job.target))
            told = Stage("write", "pass", "the adapter is copied, its card written", of=job.type)
            self._teller.decide(told)
        elif job.kind == "adapter-gguf":
            self._adapter_gguf()
        else:
            self._models()
        if len(self.refused) == len(job.targets):
            raise next(iter(self.refused.values()))

    def base_gguf(self) -> None:
        """The base alone as a file, which a GGUF adapter is proved on: written if there is none."""
        job = self._job
        if job.base is None:
            self._teller.say(Stage("write", "running", "writing the base that it is proved on"))
            write_base_gguf(job.written, job.base_gguf, on_progress=self._teller.progress("write"))
        self._facts["base_gguf_sha256"] = file_sha256(job.base_gguf)

    def _adapter_gguf(self) -> None:
        job = self._job
        count = write_adapter_gguf(
            job.source,
            Path(job.target),
            notes=self._notes(),
            on_progress=self._teller.progress("write"),
        )
        text = f"{count} modules in F32, their scaling folded in; to be put on {job.base_gguf.name}"
        self._teller.decide(Stage("write", "pass", text, {"modules": float(count)}, job.type))

    def _models(self) -> None:
        """The merged model in every type; one that is refused does not stop the others."""
        job = self._job
        merged = Merged(job.written)
        own = [target for target in job.targets if not self._types[target.type].quantised]
        quantised = [target for target in job.targets if self._types[target.type].quantised]
        try:
            for target in own:
                with self._refusable(target):
                    self._one(merged, target.type, self._place(target), target.type)
                    self._complete(target)
            if quantised:
                with self._refusable(*quantised):
                    self._sixteen(merged)
                    self._quantised(quantised)
        finally:
            remove(job.folder)

    def _quantised(self, targets: list[Target]) -> None:
        fitted = any(self._types[target.type].fitted for target in targets)
        matters = self._importance() if fitted else {}
        for target in targets:
            type = self._types[target.type]
            with self._refusable(target):
                self._quantise(type, self._place(target), matters if type.fitted else {})
                self._complete(target)

    @contextmanager
    def _refusable(self, *targets: Target) -> Iterator[None]:
        """What some types are refused for does not stop the others."""
        try:
            yield
        except (WorkbenchError, OSError) as error:
            refusal = as_refusal(error, Path(self._job.target).parent)
            text = f"{refusal.message} {refusal.hint}"
            for target in targets:
                self.refused[target.type] = refusal
                self._teller.decide(Stage("write", "fail", text, of=target.type))
                remove(Path(target.path))
                remove(parts_folder(Path(target.path)))

    def _place(self, target: Target) -> Path:
        """Where the weights of a target go: itself, or a file in the folder that it is."""
        if self._job.kind != "ollama":
            return Path(target.path)
        Path(target.path).mkdir(exist_ok=True)
        return Path(target.path) / MODEL

    def _complete(self, target: Target) -> None:
        """What comes after the weights: parts, or what lies beside them."""
        if self._job.kind == "ollama":
            source = self._job.source
            renderer = Renderer.load(Path(source.base))
            found = write_ollama(Path(target.path), source, renderer, self._samples(), target.type)
            self._teller.decide(
                Stage(found.name, found.state, found.text, found.numbers, target.type)
            )
        elif self._job.kind == "gguf":
            self._divide(target)

    def _notes(self) -> dict[str, str]:
        """What a GGUF file says of where it comes from."""
        notes = {f"workbench.{k}": str(v) for k, v in self._facts.items() if v is not None}
        name = self._job.source.record.get("name") or self._facts["base"]
        return notes | {"general.name": str(name)}

    def _sixteen(self, merged: Merged) -> None:
        """What the quantiser reads: F16, or BF16 where weights go beyond what F16 holds."""
        if self._job.halfway.is_file():
            return
        try:
            self._one(merged, "f16", self._job.halfway)
        except Unsupported as error:
            self._one(merged, "bf16", self._job.halfway, why=f"{error.message} ")

    def _one(self, merged: Merged, type_name: str, path: Path, of: str = "", why: str = "") -> None:
        """Write the merged model in a type that needs no quantiser; `why` begins what is said."""
        job = self._job
        began = time.monotonic()
        if job.kind == "merged":
            limit = job.shard or SHARD_BYTES
            progress = self._teller.progress("write", of)
            write_merged(merged, job.source, type_name, path, progress, limit)
            text, numbers = f"{len(merged.plan())} tensors", {"tensors": len(merged.plan())}
            text += " of the text part, a model of its own" if merged.part else ""
        elif job.llama_cpp is not None:
            text, numbers = self._by_llama_cpp(merged, Path(job.llama_cpp), type_name, path, of), {}
        else:
            text, numbers = self._by_ourselves(merged, type_name, path, of)
        seconds = time.monotonic() - began
        told = Stage("write", "pass", why + text, {**numbers, "seconds": seconds}, of)
        self._teller.decide(told)

    def _by_ourselves(
        self, merged: Merged, type_name: str, path: Path, of: str
    ) -> tuple[str, dict[str, int]]:
        written = write_gguf(
            merged,
            Path(self._job.source.base),
            type_name,
            path,
            notes=self._notes(),
            on_progress=self._teller.progress("write", of),
        )
        text = f"{written.tensors} tensors, {written.kept_f32} of them vectors in F32"
        if written.fallbacks:
            text += f", {written.fallbacks} in F16 because their rows do not divide by 32"
        text += "".join(f"; {remark}" for remark in written.remarks)
        return text, {"tensors": written.tensors, "fallbacks": written.fallbacks}

    def _by_llama_cpp(
        self, merged: Merged, sources: Path, type_name: str, path: Path, of: str
    ) -> str:
        """By the converter of a checkout, from a merged folder in 32 bit that is written once."""
        job = self._job
        found = Checkout.open(sources)
        self._facts |= found.facts()
        self._teller.say(Stage("write", "running", "llama.cpp's converter is at work", of=of))
        if not job.folder.is_dir():
            found.convert(Path(job.source.base), path, type_name, Path(job.log), vocab_only=True)
            path.unlink()
            progress = self._teller.progress("write", of)
            write_merged(merged, job.source, "f32", job.folder, progress)
        found.convert(job.folder, path, type_name, Path(job.log))
        which = found.commit[:9] if found.commit else f"sha256 {found.sha256[:9]}"
        return f"by llama.cpp's own converter ({which})"

    def _quantise(self, type: ExportType, target: Path, fitted: Importance) -> None:
        from engine.export.gguf.quantise import quantise

        began = time.monotonic()
        source = self._job.halfway
        self._teller.say(Stage("quantise", "running", f"quantising to {type.name}", of=type.name))
        fallbacks = quantise(
            source,
            target,
            type.file_type,
            threads=torch.get_num_threads(),
            importance=fitted,
            on_progress=self._teller.progress("quantise", type.name),
        )
        before, after = source.stat().st_size, target.stat().st_size
        text = f"{before / 1e6:,.1f} MB to {after / 1e6:,.1f} MB"
        if fitted:
            text += ", fitted to half of the held-out chats and proved on the others"
        if fallbacks:
            text += f", {fallbacks} tensors in larger types because their rows do not divide by 256"
        seconds = time.monotonic() - began
        numbers = {"fallbacks": float(fallbacks), "seconds": seconds}
        self._teller.decide(Stage("quantise", "pass", text, numbers, type.name))

    def _divide(self, target: Target) -> None:
        """Make parts of a file that is larger than was asked for."""
        whole, limit = Path(target.path), self._job.shard
        if limit is None or whole.stat().st_size <= limit:
            return
        self._teller.say(Stage("split", "running", "dividing the file", of=target.type))
        found = split(whole, parts_folder(whole), stem_of(whole), limit)
        whole.unlink()
        self.written[target.type] = Target(target.type, str(found[0]))
        text = f"{len(found)} parts of at most {limit / 1e6:,.0f} MB"
        numbers = {"parts": float(len(found))}
        self._teller.decide(Stage("split", "pass", text, numbers, target.type))

    def _samples(self) -> list[Sample]:
        source = self._job.source
        chats = Path(source.chats) if source.chats else None
        return held_out(Renderer.load(Path(source.base)), chats)

    def _importance(self) -> Importance:
        """What matters to the trained model, by the file's names."""
        self._teller.say(
            Stage("quantise", "running", "reading your held-out chats for what matters")
        )
        base = Path(self._job.source.base)
        length = min(MAX_LENGTH, context_of(base) or MAX_LENGTH)
        model = Reference(self._job.written).model
        found = importance(model, read_for_importance(self._samples()), length)
        names = gguf_names(read_json(base / "config.json"))
        named = ((names.get_name(name, (".weight",)), one) for name, one in found.items())
        return {name: one for name, one in named if name is not None}


def as_refusal(error: WorkbenchError | OSError, folder: Path) -> WorkbenchError:
    """What the user can do about: ours as it is, a full disk in our words; others are raised."""
    if isinstance(error, WorkbenchError):
        return error
    if error.errno not in _FULL:
        raise error
    return NoSpace(
        f"{folder}: the disk is full, or takes no file this large.", "Make room, then export again."
    )
