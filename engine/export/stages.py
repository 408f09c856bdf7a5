"""What an export says about itself while it works: stages, and the messages of its worker.

Knows the words that travel between the worker and its client, one JSON object a line. Does not
know what a stage measures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.export.files import folder_of, halfway_of

State = Literal["running", "pass", "warn", "fail"]
Verdict = Literal["pass", "warn", "fail"]
Merge = Literal["faithful", "original"]
Facts = dict[str, str | int | float | bool | None]


class Stage(msgspec.Struct, frozen=True, tag="stage"):
    """One step of an export or proof, as it stands now.

    Attributes:
        name: `base`, `write`, `file`, `quantise`, `load`, `tokens`, `template`, `stops`,
            `convert`, `quant`, `end`, `greedy` or `suite`.
        state: `running` while it works, afterwards its verdict.
        text: one line for a person.
        numbers: what was measured; `done` and `total` while running.
        of: the type (`q4_k_m`) of the file it is about; empty for all files of a job.
    """

    name: str
    state: State
    text: str
    numbers: dict[str, float] = {}
    of: str = ""


class Source(msgspec.Struct, frozen=True):
    """The trained model as files, and how its base was held while it was trained.

    Attributes:
        ref: the model reference the user gave.
        base: folder of the base model in Hugging Face layout.
        base_ref: the base's own reference, the name that is written into cards.
        adapter: folder of the PEFT adapter, or None for a plain model.
        quantization: `nf4` when the base's linear layers were held in 4 bit while training.
        double_quant: whether the NF4 scales were quantised again.
        dtype: `float32`, `bfloat16` or `float16`: what the base was loaded as.
        base_sha256: the base's hash as the run recorded it, or None.
        template_sha256: the chat template's hash as the run recorded it, or None.
        chats: held-out rows (JSONL) to measure on, or None for the shipped ones.
        record: what the run's record says, for model cards and provenance.
    """

    ref: str
    base: str
    base_ref: str
    adapter: str | None = None
    quantization: str | None = None
    double_quant: bool = True
    dtype: str = "float32"
    base_sha256: str | None = None
    template_sha256: str | None = None
    chats: str | None = None
    record: dict[str, str | int | float | bool | None] = {}

    @property
    def lossless(self) -> str:
        """The GGUF type that holds the base as training held it."""
        return "f32" if self.dtype == "float32" else "f16"


class Target(msgspec.Struct, frozen=True):
    """One file or folder of a job.

    Attributes:
        type: a name from `types`; empty to take what a foreign GGUF says of itself.
        path: where to write (a temporary name), or what to verify.
    """

    type: str
    path: str


class Job(msgspec.Struct, frozen=True):
    """What the worker is asked to do: the first line on its standard input.

    Attributes:
        do: `export` writes the targets and proves them; `verify` only proves its one target.
        kind: a `store.exports.Kind`.
        log: where llama.cpp's own log goes.
        merge: `faithful` puts the adapter on the weights that training saw, `original` on the
            base's own.
        shard: bytes of weights in one file at most, the others follow in further parts; None
            does not divide.
        llama_cpp: a checkout of llama.cpp whose converter is to write GGUF files, not ours.
        expected_sha256: for `verify`: the hash the file's provenance names, or None.
        base: the proved file that a GGUF adapter is put on; without one the proof writes its own.
    """

    do: Literal["export", "verify"]
    kind: str
    targets: list[Target]
    source: Source
    log: str
    merge: Merge = "faithful"
    shard: int | None = None
    llama_cpp: str | None = None
    expected_sha256: str | None = None
    base: str | None = None

    @property
    def target(self) -> str:
        """Path of the first target."""
        return self.targets[0].path

    @property
    def type(self) -> str:
        """Type of the first target."""
        return self.targets[0].type

    @property
    def written(self) -> Source:
        """The model that is written: as trained, or with the adapter on the base's own weights.

        Where training held the base as it is, the two are the same.
        """
        if self.merge == "faithful" or not self.source.quantization or not self.source.adapter:
            return self.source
        return msgspec.structs.replace(self.source, quantization=None, dtype="float32")

    @property
    def halfway(self) -> Path:
        """Where the model lies in 16 bits while the quantiser makes targets of it.

        The F16 file itself where that is one of the targets and stays in one piece.
        """
        whole = self.kind == "gguf" and self.shard is None
        own = [target.path for target in self.targets if whole and target.type == "f16"]
        return Path(own[0]) if own else halfway_of(Path(self.target))

    @property
    def folder(self) -> Path:
        """Where a merged folder lies while llama.cpp's converter makes a file of it."""
        return folder_of(Path(self.target))

    @property
    def base_gguf(self) -> Path:
        """The file that a GGUF adapter is put on, or where the proof's own lies for a while."""
        return Path(self.base) if self.base else Path(self.log).with_suffix(".base")


class Outcome(msgspec.Struct, frozen=True):
    """What became of one target.

    Attributes:
        path: as in its `Target`, or the first of its parts; empty when it could not be written.
        stages: those of all files, then its own.
    """

    type: str
    path: str
    bytes: int
    sha256: str
    verdict: Verdict
    stages: list[Stage]


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The worker's last line when it did what it was asked, whatever the verdicts."""

    files: list[Outcome]
    facts: Facts


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The worker's last line when it met an error the user can do something about."""

    kind: str
    message: str
    hint: str


Message = Stage | Finished | Refused


def as_dict(stage: Stage) -> dict[str, Any]:
    """A stage as it is kept in records: name, state, text, numbers."""
    return {
        "name": stage.name,
        "state": stage.state,
        "text": stage.text,
        "numbers": stage.numbers,
        "of": stage.of,
    }


def public(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A kept stage as programs read it: name, type of its file, verdict, words, figures."""
    return {
        "name": kept["name"],
        "type": kept.get("of", ""),
        "verdict": kept["state"],
        "text": kept["text"],
        "figures": kept["numbers"],
    }


def worst(stages: Iterable[Stage]) -> Verdict:
    """The verdict over all stages: `fail` beats `warn` beats `pass`; a running stage fails."""
    states = {stage.state for stage in stages}
    if "fail" in states or "running" in states:
        return "fail"
    return "warn" if "warn" in states else "pass"
