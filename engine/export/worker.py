"""(heavy) The process that writes and proves one export: `python -m engine.export.worker`.

Knows the order of the work and how to speak to its client: the job comes as the first line of
standard input, messages go out as JSON lines on standard output, and the end of standard input
means that the client is gone: then nothing half-written stays behind.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from engine.export.card import public_name
from engine.export.files import halfway_of, remove, remove_partial
from engine.export.hashes import export_bytes, export_sha256
from engine.export.lora import WEIGHTS
from engine.export.proof.bases import compare_bases
from engine.export.proof.questions import prove
from engine.export.proof.yardstick import Yardstick
from engine.export.stages import (
    Facts,
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
from engine.export.telling import Teller
from engine.export.writing import Writer, as_refusal
from engine.models.folder import file_sha256, weights_sha256
from engine.render.renderer import Renderer
from engine.train import checkpoints
from store.errors import Conflict, WorkbenchError

_PACKAGES = (
    "workbench-llm",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "gguf",
    "llama-cpp-python",
)


class Work:
    """One job from its first stage to its last message.

    Args:
        say: sends a message to the client.
    """

    def __init__(self, job: Job, say: Callable[[Message], None]) -> None:
        self._job = job
        self._teller = Teller(job.targets, say)

    def run(self) -> Finished:
        """Do what the job says.

        Raises:
            WorkbenchError: nothing could be done of it, and the user can do something about it.
        """
        job = self._job
        facts = self._base()
        writer = Writer(job, facts, self._teller)
        try:
            if job.kind == "adapter-gguf":
                writer.base_gguf()
            if job.do == "export":
                writer.write()
            with Yardstick(job) as yardstick:
                if job.do == "export" and job.kind != "adapter":
                    alone = job.kind == "adapter-gguf"
                    both = compare_bases(yardstick, self._teller.say, alone=alone)
                    if both is not None:
                        self._teller.decide(both)
                outcomes = [self._outcome(target, writer, yardstick) for target in job.targets]
        finally:
            if job.do == "export":
                remove(halfway_of(Path(job.target)))
            elif job.base is None:
                remove(job.base_gguf)
            for target in job.targets:
                if target.type in writer.refused:  # a model in 16 bits may have taken its place
                    remove(Path(target.path))
        return Finished(outcomes, facts | {name: version(name) for name in _PACKAGES})

    def _outcome(self, target: Target, writer: Writer, yardstick: Yardstick) -> Outcome:
        """Prove one target that was written."""
        teller, type = self._teller, target.type
        if type in writer.refused:
            return Outcome(type, "", 0, "", "fail", teller.stages(type))
        target = writer.written[type]
        path = Path(target.path)
        digest = export_sha256(path)
        if self._job.do == "verify":
            self._file(digest, type)
        sixteen = self._job.halfway if self._job.halfway.is_file() else None
        teller.keep(type, prove(self._job, target, yardstick, teller.say, sixteen))
        stages = teller.stages(type)
        return Outcome(type, target.path, export_bytes(path), digest, worst(stages), stages)

    def _base(self) -> Facts:
        """Check that base and template are still what was trained on.

        Raises:
            Conflict: for an export, they are not. A verification records it as a failed stage.
        """
        source = self._job.source
        self._teller.say(Stage("base", "running", "reading the base, to see that it is unchanged"))
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
        self._teller.decide(
            Stage("base", "fail" if changed else "pass", text if changed else known)
        )
        adapter = Path(source.adapter) / WEIGHTS if source.adapter else None
        return {
            "ref": public_name(source.ref),
            "base": public_name(source.base_ref),
            "base_sha256": base,
            "template_sha256": template,
            "adapter_sha256": file_sha256(adapter) if adapter else None,
            "quantization": source.quantization,
            "double_quant": source.double_quant if source.quantization else None,
            "dtype": source.dtype,
            "merge": self._job.merge,
        }

    def _file(self, digest: str, of: str) -> None:
        expected = self._job.expected_sha256
        state: State
        if expected is None:
            state, text = "pass", "made elsewhere: no recorded hash to compare with"
        elif expected == digest:
            state, text = "pass", "byte for byte as it was exported"
        else:
            state, text = "fail", "changed since it was exported: its hash differs"
        self._teller.keep(of, [Stage("file", state, text, of=of)])
        self._teller.say(Stage("file", state, text, of=of))


def _end_with_client(source: BinaryIO, job: Job) -> None:
    """Wait for the end of standard input, then leave without leaving anything."""
    while source.read(4096):
        pass
    if job.do == "export":
        for target in job.targets:
            with suppress(OSError):  # it may be writing still
                remove_partial(Path(target.path))
    os._exit(1)


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
        refusal = as_refusal(error, Path(job.target).parent)
        say(Refused(type(refusal).__name__, refusal.message, refusal.hint))
    # A thread may still hold standard input: everything is said, so end without waiting for it.
    out.close()
    os._exit(0)


if __name__ == "__main__":
    main()
