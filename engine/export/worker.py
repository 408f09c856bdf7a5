"""(heavy) The process that writes and proves one export: `python -m engine.export.worker`.

Knows the order of the work and how to speak to its client: the job comes as the first line of
standard input, messages go out as JSON lines on standard output, and the end of standard input
means that the client is gone: then nothing half-written stays behind.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import torch

from engine.export.adapter_gguf import write_adapter_gguf, write_base_gguf
from engine.export.card import public_name
from engine.export.convert import gguf_names, write_gguf
from engine.export.files import parts_folder, remove, remove_partial, stem_of
from engine.export.folder import SHARD_BYTES, write_adapter, write_merged
from engine.export.hashes import export_bytes, export_sha256
from engine.export.importance import Importance, importance
from engine.export.lora import WEIGHTS
from engine.export.merge import Merged
from engine.export.plan import context_of
from engine.export.proof import prove
from engine.export.reference import Reference
from engine.export.samples import MAX_LENGTH, held_out, read_for_importance
from engine.export.splits import split
from engine.export.stages import (
    Finished,
    Job,
    Message,
    Outcome,
    Refused,
    Stage,
    State,
    Target,
    worst,
)
from engine.export.types import ExportType, choose
from engine.export.yardstick import Yardstick
from engine.models.folder import file_sha256, read_json, weights_sha256
from engine.render.renderer import Renderer
from engine.train import checkpoints
from store.errors import Conflict, NoSpace, Unsupported, WorkbenchError

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "gguf", "llama-cpp-python")
_PROGRESS_SECONDS = 0.1
_FULL_BYTES = 1 << 20
Facts = dict[str, str | int | float | bool | None]


class Work:
    """One job from its first stage to its last message.

    Args:
        say: sends a message to the client.
    """

    def __init__(self, job: Job, say: Callable[[Message], None]) -> None:
        self._job = job
        self._say = say
        self._shared: list[Stage] = []
        self._own: dict[str, list[Stage]] = {target.type: [] for target in job.targets}
        self._refused: dict[str, WorkbenchError] = {}
        self._parts: dict[str, Target] = {}
        self._told = 0.0

    def run(self) -> Finished:
        """Do what the job says.

        Raises:
            WorkbenchError: nothing could be done of it, and the user can do something about it.
        """
        job = self._job
        facts = self._base()
        if job.kind == "adapter-gguf":
            self._base_gguf(facts)
        if job.do == "export":
            self._write(facts)
        if len(self._refused) == len(job.targets):
            raise next(iter(self._refused.values()))
        try:
            with Yardstick(job) as yardstick:
                outcomes = [self._outcome(target, yardstick) for target in job.targets]
        finally:
            if job.do == "export" or job.kind == "adapter-gguf":
                remove(job.base_gguf)
        return Finished(outcomes, facts | {name: version(name) for name in _PACKAGES})

    def _outcome(self, target: Target, yardstick: Yardstick) -> Outcome:
        """Prove one target that was written."""
        own = self._own[target.type]
        if target.type in self._refused:
            return Outcome(target.type, "", 0, "", "fail", self._shared + own)
        target = self._parts.get(target.type, target)
        path = Path(target.path)
        digest = export_sha256(path)
        if self._job.do == "verify":
            self._file(digest, target.type)
        sixteen = self._job.halfway if self._job.halfway.is_file() else None
        own += prove(self._job, target, yardstick, self._say, sixteen)
        stages = [*self._shared, *own]
        size = export_bytes(path)
        return Outcome(target.type, target.path, size, digest, worst(stages), stages)

    def _decide(self, stage: Stage) -> None:
        (self._own[stage.of] if stage.of else self._shared).append(stage)
        self._say(stage)

    def _base(self) -> Facts:
        """Check that base and template are still what was trained on.

        Raises:
            Conflict: for an export, they are not. A verification records it as a failed stage.
        """
        source = self._job.source
        self._say(Stage("base", "running", "hashing the base model"))
        folder = Path(source.base)
        base, template = weights_sha256(folder), Renderer.load(folder).template_sha256
        changed = [
            what
            for what, was, now in (
                ("weights", source.base_sha256, base),
                ("chat template", source.template_sha256, template),
            )
            if was is not None and was != now
        ]
        text = f"{folder}: the base's {' and '.join(changed)} changed since the training"
        if changed and self._job.do == "export":
            raise Conflict(f"{text}.", "Restore the base model that the run was trained on.")
        if source.adapter and (wrong := checkpoints.altered_adapter(Path(source.adapter))):
            raise Conflict(
                f"{source.adapter}: {wrong[0]}.",
                "Choose another checkpoint; `workbench resume` writes damaged ones again.",
            )
        known = "as recorded by the run" if source.base_sha256 else "no record to compare with"
        self._decide(Stage("base", "fail" if changed else "pass", text if changed else known))
        adapter = Path(source.adapter) / WEIGHTS if source.adapter else None
        return {
            "ref": source.ref,
            "base": public_name(source.base_ref),
            "base_sha256": base,
            "template_sha256": template,
            "adapter_sha256": file_sha256(adapter) if adapter else None,
            "quantization": source.quantization,
            "double_quant": source.double_quant if source.quantization else None,
            "dtype": source.dtype,
            "merge": self._job.merge,
        }

    def _write(self, facts: Facts) -> None:
        """Write every target: the weights are read once for those that the quantiser makes."""
        job = self._job
        self._say(Stage("write", "running", "reading the adapter and the base"))
        if job.kind == "adapter":
            write_adapter(job.source, Path(job.target))
            self._decide(Stage("write", "pass", "the adapter is copied, its card written"))
            return
        if job.kind == "adapter-gguf":
            self._adapter_gguf(facts)
            return
        merged = Merged(job.written)
        types = {target.type: choose(job.kind, target.type) for target in job.targets}
        for target in job.targets:
            if not types[target.type].quantised:
                with self._refusable(target):
                    self._write_one(merged, target.type, Path(target.path), facts, target.type)
                    self._divide(target)
        quantised = [target for target in job.targets if types[target.type].quantised]
        if not quantised:
            return
        with self._refusable(*quantised):
            self._sixteen(merged, facts)
            fitted = self._importance() if any(types[t.type].fitted for t in quantised) else {}
            for target in quantised:
                type = types[target.type]
                with self._refusable(target):
                    self._quantise(type, Path(target.path), fitted if type.fitted else {})
                    self._divide(target)

    def _base_gguf(self, facts: Facts) -> None:
        """The base alone as a file: a GGUF adapter is proved on it, and it is gone afterwards."""
        job = self._job
        self._say(Stage("write", "running", "writing the base that it is proved on"))
        write_base_gguf(job.written, job.base_gguf, on_progress=self._progress("write", ""))
        facts["base_gguf_sha256"] = file_sha256(job.base_gguf)

    def _adapter_gguf(self, facts: Facts) -> None:
        job = self._job
        count = write_adapter_gguf(
            job.source,
            Path(job.target),
            notes=self._notes(facts),
            on_progress=self._progress("write", ""),
        )
        text = f"{count} modules in F32, their scaling folded in"
        if job.written.quantization:
            text += "; exact on the base as training held it, and on a file of the base's own "
            text += "weights about 1e-3 nats away"
        self._decide(Stage("write", "pass", text, {"modules": float(count)}))

    def _notes(self, facts: Facts) -> dict[str, str]:
        """What a GGUF file says of where it comes from."""
        notes = {f"workbench.{k}": str(v) for k, v in facts.items() if v is not None}
        return notes | {"general.name": str(self._job.source.record.get("name") or facts["base"])}

    def _sixteen(self, merged: Merged, facts: Facts) -> None:
        """What the quantiser reads: F16, or BF16 where weights go beyond what F16 holds."""
        try:
            self._write_one(merged, "f16", self._job.halfway, facts, "")
        except Unsupported as error:
            self._write_one(merged, "bf16", self._job.halfway, facts, "", f"{error.message} ")

    @contextmanager
    def _refusable(self, *targets: Target) -> Iterator[None]:
        """What some types are refused for does not stop the others."""
        try:
            yield
        except (WorkbenchError, OSError) as error:
            refusal = _as_refusal(error, Path(self._job.target).parent)
            text = f"{refusal.message} {refusal.hint}"
            for target in targets:
                self._refused[target.type] = refusal
                self._decide(Stage("write", "fail", text, of=target.type))
                remove(Path(target.path))
                remove(parts_folder(Path(target.path)))

    def _write_one(
        self, merged: Merged, type_name: str, path: Path, facts: Facts, of: str, why: str = ""
    ) -> None:
        """Write the merged model in a type that we write ourselves; `why` begins what is said."""
        job = self._job
        began = time.monotonic()
        progress = self._progress("write", of)
        if job.kind == "merged":
            write_merged(merged, job.source, type_name, path, progress, job.shard or SHARD_BYTES)
            text, numbers = f"{len(merged.plan())} tensors", {"tensors": len(merged.plan())}
        else:
            written = write_gguf(
                merged,
                Path(job.source.base),
                type_name,
                path,
                notes=self._notes(facts),
                on_progress=progress,
            )
            text = f"{written.tensors} tensors, {written.kept_f32} of them vectors in F32"
            if written.fallbacks:
                text += f", {written.fallbacks} in F16 because their rows do not divide by 32"
            text += "".join(f"; {remark}" for remark in written.remarks)
            numbers = {"tensors": written.tensors, "fallbacks": written.fallbacks}
        seconds = time.monotonic() - began
        self._decide(Stage("write", "pass", why + text, {**numbers, "seconds": seconds}, of))

    def _quantise(self, type: ExportType, target: Path, fitted: Importance) -> None:
        from engine.export.quantise import quantise

        began = time.monotonic()
        source = self._job.halfway
        self._say(Stage("quantise", "running", f"quantising to {type.name}", of=type.name))
        fallbacks = quantise(
            source,
            target,
            type.file_type,
            threads=torch.get_num_threads(),
            importance=fitted,
            on_progress=self._progress("quantise", type.name),
        )
        before, after = source.stat().st_size, target.stat().st_size
        text = f"{before / 1e6:,.1f} MB to {after / 1e6:,.1f} MB"
        if fitted:
            text += ", fitted to half of the held-out chats and proved on the others"
        if fallbacks:
            text += f", {fallbacks} tensors in larger types because their rows do not divide by 256"
        seconds = time.monotonic() - began
        numbers = {"fallbacks": float(fallbacks), "seconds": seconds}
        self._decide(Stage("quantise", "pass", text, numbers, type.name))

    def _divide(self, target: Target) -> None:
        """Make parts of a file that is larger than was asked for."""
        whole, limit = Path(target.path), self._job.shard
        if limit is None or self._job.kind != "gguf" or whole.stat().st_size <= limit:
            return
        self._say(Stage("split", "running", "dividing the file", of=target.type))
        written = split(whole, parts_folder(whole), stem_of(whole), limit)
        whole.unlink()
        self._parts[target.type] = Target(target.type, str(written[0]))
        text = f"{len(written)} parts of at most {limit / 1e6:,.0f} MB"
        self._decide(Stage("split", "pass", text, {"parts": float(len(written))}, target.type))

    def _importance(self) -> Importance:
        """What matters to the trained model, by the file's names."""
        self._say(Stage("quantise", "running", "reading held-out chats for what matters"))
        source, base = self._job.source, Path(self._job.source.base)
        samples = held_out(Renderer.load(base), Path(source.chats) if source.chats else None)
        length = min(MAX_LENGTH, context_of(base) or MAX_LENGTH)
        model = Reference(source).model
        found = importance(model, read_for_importance(samples), length)
        names = gguf_names(read_json(base / "config.json"))
        named = ((names.get_name(name, (".weight",)), one) for name, one in found.items())
        return {name: one for name, one in named if name is not None}

    def _progress(self, stage: str, of: str) -> Callable[[int, int], None]:
        """What hears tensors done and tensors in all, and tells the client now and then."""

        def hear(done: int, total: int) -> None:
            if done < total and time.monotonic() - self._told < _PROGRESS_SECONDS:
                return
            self._told = time.monotonic()
            numbers = {"done": float(done), "total": float(total)}
            self._say(Stage(stage, "running", f"tensor {done} of {total}", numbers, of))

        return hear

    def _file(self, digest: str, of: str) -> None:
        expected = self._job.expected_sha256
        state: State
        if expected is None:
            state, text = "pass", "made elsewhere: no recorded hash to compare with"
        elif expected == digest:
            state, text = "pass", "byte for byte as it was exported"
        else:
            state, text = "fail", "changed since it was exported: its hash differs"
        self._own[of].append(Stage("file", state, text, of=of))
        self._say(self._own[of][-1])


def _end_with_client(source: BinaryIO, job: Job) -> None:
    """Wait for the end of standard input, then leave without leaving anything."""
    while source.read(4096):
        pass
    if job.do == "export":
        for target in job.targets:
            with suppress(OSError):  # it may be writing still
                remove_partial(Path(target.path))
    os._exit(1)


def _as_refusal(error: WorkbenchError | OSError, folder: Path) -> WorkbenchError:
    """What the user can do about: ours as it is, a full disk in our words; others are raised."""
    if isinstance(error, WorkbenchError):
        return error
    # numpy reports a short write without an error number: then the disk itself is asked.
    full = shutil.disk_usage(folder).free < _FULL_BYTES
    if error.errno not in (errno.ENOSPC, errno.EDQUOT) and not full:
        raise error
    return NoSpace(f"{folder}: the disk is full.", "Make room, then export again.")


def _end_badly(*what: Any) -> None:
    """A fault of ours: the log gets it. A thread may hold standard input, so nobody waits."""
    sys.__excepthook__(*what)
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    """Read one job, do it, and answer."""
    sys.excepthook = _end_badly
    # Libraries print: what they say goes to the log, only messages go to the client.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    threading.Thread(target=_end_with_client, args=(sys.stdin.buffer, job), daemon=True).start()

    def say(message: Message) -> None:
        out.write(msgspec.json.encode(message) + b"\n")
        out.flush()

    try:
        say(Work(job, say).run())
    except (WorkbenchError, OSError) as error:
        refusal = _as_refusal(error, Path(job.target).parent)
        say(Refused(type(refusal).__name__, refusal.message, refusal.hint))
    # A thread may still hold standard input: everything is said, so end without waiting for it.
    out.close()
    os._exit(0)


if __name__ == "__main__":
    main()
