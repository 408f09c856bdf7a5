"""An export that was written gets the name that its proof allows, and its records.

Knows final names, what is written beside an export, and the catalogue. Does not know the worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.export.card import public_name
from engine.export.files import (
    MODELFILE,
    PROOF,
    PROVENANCE,
    beside,
    parts,
    remove,
    remove_export,
    settle,
    taken,
    unproved_name,
    write_beside,
)
from engine.export.plan import File
from engine.export.records import provenance_of, without
from engine.export.stages import Facts, Outcome, Source, Stage, as_dict, public, worst
from engine.models.gguf import is_adapter
from store import exports, runs
from store.catalogue import Catalogue
from store.errors import Conflict, WorkbenchError, WorkerDied
from store.exports import Export, Proof

_POLL_SECONDS = 0.1
OnEvent = Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Keeper:
    """Gives one export that was written the name that its proof allows, and records both."""

    cat: Catalogue
    file: File
    record: Export
    source: Source
    facts: Facts
    on_event: OnEvent | None
    cancel: threading.Event | None

    def keep(self, outcome: Outcome, *, force: bool) -> Export:
        """The record as it stands at the end; `force` replaces an earlier export.

        Raises:
            Conflict: something else lies under the name, or it was cancelled.
        """
        if not outcome.path:
            why = next(stage.text for stage in outcome.stages if stage.state == "fail")
            return fail(self.cat, self.record, why)
        out = self.file.out
        # Until everything was asked it has the name of what is not proved: a kill leaves no other.
        unproved = unproved_name(out)
        final = self._settle(self.file.partial, Path(outcome.path), unproved, force=True)
        if outcome.verdict != "fail":
            try:
                outcome = with_suite(
                    self.cat, self.record.ref, final, outcome, self.on_event, self.cancel
                )
                if outcome.verdict != "fail":
                    final = self._settle(unproved, final, out, force=force)
            except BaseException:
                remove_export(final)
                raise
        return self._note(final, outcome)

    def _settle(self, partial: Path, written: Path, name: Path, *, force: bool) -> Path:
        """Give it a name; what it replaces there is forgotten, with what lay beside it."""
        replaced = taken(name)
        final = settle(partial, written, name, force=force)
        for path in replaced:
            for noted in (PROVENANCE, PROOF):
                remove(beside(path, noted))
        gone = {str(path) for path in (*replaced, final)}
        for other in exports.all(self.cat):
            if other.path in gone and other.id != self.record.id:
                exports.delete(self.cat, other.id)
        return final

    def _note(self, final: Path, outcome: Outcome) -> Export:
        record, run_id = self.record, self.record.run_id
        run = provenance_of(self.cat, runs.get(self.cat, run_id)) if run_id else None
        noted = {
            **self.facts,
            "kind": record.kind,
            "type": record.type,
            "sha256": outcome.sha256,
            "bytes": outcome.bytes,
            "parts": [part.name for part in parts(final)],
            "created": record.created,
            "training": run,
        }
        stages = [public(as_dict(stage)) for stage in outcome.stages]
        said = without(stages, self._places(final))
        proof = {"verdict": outcome.verdict, "stages": said}
        head = {"file": final.name, "sha256": outcome.sha256, "against": self.facts["ref"]}
        write_beside(final, PROVENANCE, {**noted, "proof": proof})
        write_beside(final, PROOF, {**head, **proof, "facts": self.facts})
        add_proof(self.cat, final, record.ref, outcome, record.id)
        return exports.update(
            self.cat,
            record.id,
            path=str(final),
            bytes=outcome.bytes,
            sha256=outcome.sha256,
            status="unproved" if outcome.verdict == "fail" else "proved",
            finished=time.time(),
            provenance=noted,
        )

    def _places(self, final: Path) -> dict[str, str]:
        """Folders of this machine, and what a file says in their place."""
        source = self.source
        return {
            str(final.parent): "",
            str(self.cat.workspace.root): "workspace",
            source.base: public_name(source.base_ref),
            str(Path.home()): "~",
        }


def with_suite(
    cat: Catalogue,
    ref: str,
    path: Path,
    outcome: Outcome,
    on_event: OnEvent | None,
    cancel: threading.Event | None,
) -> Outcome:
    """What the run's check suites say of a file, added to what its proof says."""
    if any(stage.name == "load" and stage.state == "fail" for stage in outcome.stages):
        return outcome
    file = path / "model.gguf" if (path / MODELFILE).is_file() else path
    if file.is_dir() and not (file / "config.json").is_file():
        return outcome  # an adapter is nobody to talk to
    if file.is_file() and is_adapter(file):
        return outcome
    stage = _asked(cat, ref, file, outcome.type, on_event, cancel)
    if stage is None:
        return outcome
    stages = [*outcome.stages, stage]
    return msgspec.structs.replace(outcome, stages=stages, verdict=worst(stages))


def _asked(
    cat: Catalogue,
    ref: str,
    file: Path,
    of: str,
    on_event: OnEvent | None,
    cancel: threading.Event | None,
) -> Stage | None:
    """Ask the suites, and stop waiting at once when cancelled: a model may just be loading.

    Raises:
        Conflict: it was cancelled.
    """
    from engine.export.proof import (
        suite,  # what asks loads much, and a list of exports needs none of it
    )

    if cancel is None:
        return suite.ask(cat, ref, file, of, on_event=on_event)
    found: list[Stage | WorkbenchError | None] = []

    def work() -> None:
        try:
            with Catalogue.open(cat.workspace) as own:
                found.append(suite.ask(own, ref, file, of, on_event=on_event, cancel=cancel))
        except WorkbenchError as error:
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive() and not cancel.is_set():
        thread.join(_POLL_SECONDS)
    if cancel.is_set():
        raise Conflict("the export was cancelled.", "Start it again when you like.")
    if not found:
        raise WorkerDied("the check suites were not asked to the end", "Export again.")
    if isinstance(found[0], WorkbenchError):
        raise found[0]
    return found[0]


def fail(cat: Catalogue, record: Export, why: str) -> Export:
    return exports.update(
        cat, record.id, status="failed", finished=time.time(), provenance={"error": why}
    )


def add_proof(
    cat: Catalogue, file: Path, against: str, outcome: Outcome, export_id: int | None
) -> Proof:
    return exports.add_proof(
        cat,
        file=str(file),
        sha256=outcome.sha256,
        against=against,
        verdict=outcome.verdict,
        stages=[as_dict(stage) for stage in outcome.stages],
        export_id=export_id,
    )
