"""A training process (heavy): `python -m engine.train.worker RUN_DIR`.

Waits for the device, finds the newest intact checkpoint, trains on from there, and leaves the
run's true state in its database whatever happens short of SIGKILL; after that the next start finds
what was saved. Knows the phases of a job. Does not know who started it.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.jobs import death
from engine.jobs.devices import visible_devices
from engine.models.folder import file_sha256
from engine.models.hashes import known_weights_sha256
from engine.records import origin
from engine.render import Renderer
from engine.train import checkpoints, reserve
from engine.train import spec as specs
from engine.train.asking import asked
from engine.train.control import Control, StopRequested
from engine.train.devices import launcher
from engine.train.failures import explain
from engine.train.preparing import prepare
from engine.train.recipe import PREFERENCE
from engine.train.recording import Recorder
from engine.train.sending import sending
from engine.train.spec import Spec
from engine.train.turn import devices_held
from store.errors import Conflict, Unsupported, WorkbenchError
from store.rundb import RunWriter
from store.workspace import Workspace

if TYPE_CHECKING:
    from engine.train.devices.ranks import Ranks
    from engine.train.trainer import Trainer

_SPARE_STEPS = 2


def main(arguments: list[str]) -> int:
    """Run the job of one run folder; 0 where it ended as it was asked to."""
    os.umask(0o077)
    run_dir = Path(arguments[0]).resolve()
    spec = specs.read(run_dir)
    workspace = Workspace(Path(spec.workspace))
    control = Control(workspace, spec.run_id)
    control.listen_for_signals()
    with RunWriter.open(run_dir / specs.DATABASE) as writer:
        writer.state("queued")
        try:
            death.begin(run_dir, os.getpid())
            reserve.hold(run_dir)
            devices = visible_devices(spec.device, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
            count = max(spec.settings.devices, 1)
            with devices_held(
                workspace,
                spec.run_id,
                control,
                writer.heartbeat,
                devices,
                count,
                partial(writer.event, "queue"),
            ) as held:
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held) if held != ["cpu"] else ""
                # Read again: settings may have been changed while it waited.
                spec = specs.read(run_dir)
                if spec.settings.devices > 1:
                    writer.close()  # From here on the first of those processes writes.
                    return launcher.run(run_dir, spec)
                ending, reason = train(spec, Recorder(writer, run_dir), control)
                writer.state(ending, reason=reason)
        except StopRequested as stop:
            writer.state(stop.ending)
        except WorkbenchError as error:
            _log(traceback.format_exc())
            fail(writer, error)
            return 1
        except BaseException as error:
            fail(writer, error)
            raise
        finally:
            control.close()
            say_last_words(writer, run_dir)
    return 0


def say_last_words(writer: RunWriter, run_dir: Path) -> None:
    """Write what waits in memory, how the run ended included, into the room that was held."""
    writer.flush()
    reserve.give_back(run_dir)
    writer.flush()


def train(
    spec: Spec, recorder: Recorder, control: Control, ranks: Ranks | None = None
) -> tuple[str, str | None]:
    """Set up, train, and say how it ended: finished, stopped or paused, and why if by itself.

    Args:
        ranks: this process among those of a run on several devices.
    """
    began = time.perf_counter()
    if ranks is None:
        resume = _find_start(spec, recorder)
    else:
        resume = ranks.agreed(lambda: _find_start(spec, recorder))
    _same_base(spec, recorder.run_dir)
    control.check()
    from engine.train.schedule import NothingLeft

    trainer = _set_up(spec, recorder, control, ranks)
    control.check()
    if resume is None:
        if spec.start is not None:
            trainer.begin_with(recorder.run_dir / spec.start)
    elif ranks is not None and ranks.sharded:
        trainer.begin_with(resume.path)
    if spec.start is not None and spec.settings.method in PREFERENCE:
        trainer.refer_to(recorder.run_dir / spec.start)
    _log(f"set up in {time.perf_counter() - began:.1f} s")
    kind, step = ("resumed", resume.step) if resume else ("started", 0)
    recorder.writer.event(kind, _start_text(spec, trainer, resume), step=step)
    _tell_history(spec, recorder)
    if resume is None:
        for choice in spec.choices:
            if choice.chosen_by == "engine":
                recorder.writer.event("choice", choice.words)
    # What exists by now stays for the whole run: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    begin = resume.step if resume else -1
    first = ranks is None or ranks.first
    with sending(spec, recorder, begin, first=first), contextlib.suppress(NothingLeft):
        trainer.train(resume_from_checkpoint=str(resume.path) if resume else None)
    step = trainer.state.global_step
    reason = trainer.ours.schedule.reason
    if reason is not None:
        recorder.writer.event("finished", f"finished at step {step:,}: {reason}", step=step)
        return "finished", reason
    ending = control.ending or "stopped"
    recorder.writer.event(ending, f"{ending} at step {step:,}", step=step)
    return ending, None


def _tell_history(spec: Spec, recorder: Recorder) -> None:
    """Make events of what was done to the run from outside since its process was last here."""
    kinds = {told.kind for told in spec.history}
    with recorder.reader() as run_db:
        known = {event.text for event in run_db.events() if event.kind in kinds}
    for told in spec.history:
        if told.text not in known:
            recorder.writer.event(told.kind, told.text)


def _same_base(spec: Spec, run_dir: Path) -> None:
    """See that the base is what was recorded when the run was made, perhaps hours ago.

    Raises:
        Conflict: naming what changed.
    """
    base = Path(spec.base)
    found = {
        "weights": (spec.base_sha256, known_weights_sha256(Workspace(Path(spec.workspace)), base)),
        "chat template": (spec.template_sha256, Renderer.load(base).template_sha256),
        "tokenizer": (spec.tokenizer_sha256, file_sha256(base / "tokenizer.json")),
    }
    changed = [what for what, (then, now) in found.items() if then is not None and then != now]
    changed += [] if origin.same_config(run_dir, base) else ["config.json"]
    if changed:
        raise Conflict(
            f"{base}: the base's {changed[0]} changed since this run was started",
            "Put the old files back, or start a new run.",
        )


def _find_start(spec: Spec, recorder: Recorder) -> checkpoints.Checkpoint | None:
    """The checkpoint to go on from; everything recorded beyond it is forgotten.

    Raises:
        Conflict: nothing is left of what a fork began with.
    """
    start, problems = checkpoints.newest_intact(recorder.run_dir)
    for problem in problems:
        recorder.writer.event("checkpoint_damaged", problem, level="warn")
    if start is None and spec.forked:
        raise Conflict(
            "the checkpoint that this fork began from is damaged or gone, and it has saved no "
            "other",
            "Fork its parent again.",
        )
    step = start.step if start else -1
    recorder.writer.rewind(step)
    _list_checkpoints(recorder)
    recorder.writer.state("running", step=max(step, 0))
    return start


def _list_checkpoints(recorder: Recorder) -> None:
    """Bring the list of checkpoints in line with the folders: a kill may come between the two."""
    kept = {saved.step: saved for saved in checkpoints.complete(recorder.run_dir)}
    known = recorder.writer.db.execute("SELECT step FROM checkpoints").fetchall()
    listed = {step for (step,) in known}
    for step in listed - kept.keys():
        recorder.writer.drop_checkpoint(step)
    for step in kept.keys() - listed:
        recorder.listed(kept[step])


def _set_up(
    spec: Spec, recorder: Recorder, control: Control, ranks: Ranks | None = None
) -> Trainer:
    """Render the snapshot, load the base, put the adapter on it.

    Raises:
        BadInput: no row teaches anything.
        Unsupported: the device that the run was made for is not there.
    """
    recipe = spec.settings
    renderer = Renderer.load(Path(spec.base))
    rows = prepare(spec, renderer, recorder.writer)
    control.check()
    # Its remark at import is about kernels that would corrupt training (see `guard_quantised`).
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

    import torch

    torch.set_num_threads(recipe.threads)
    if spec.device == "cuda" and not torch.cuda.is_available():
        raise Unsupported(
            "this run was made for a GPU, and torch sees none",
            "Check the driver, or start a new run, which goes to the CPU.",
        )
    from engine.train import device, trainer
    from engine.train.looking import Looking
    from engine.train.schedule import Schedule

    if spec.device == "cuda":
        device.look(recorder)
    pad = renderer.pad_id or 0
    built = trainer.build(spec, pad, recorder.run_dir)
    loader, held_out = trainer.loaders(recipe, rows.examples, rows.held_examples, pad)
    if ranks is not None:
        loader = ranks.loader(loader)
        ranks.begin(recipe.seed)
    if recipe.max_tokens:
        # Laid out for as many steps as it takes, and a few in case the last rows are short.
        passes = recipe.max_tokens / rows.tokens + _SPARE_STEPS / len(loader)
        built.args.num_train_epochs = passes
    schedule = Schedule(recipe, recorder, control, spec.patience_from)
    if ranks is not None:
        schedule = ranks.schedule(recipe, recorder, control, spec.patience_from)
    built.add_callback(schedule)
    built.ours = trainer.TrainingParts(
        recipe=recipe,
        versions=spec.versions,
        loader=loader,
        eval_batches=held_out,
        recorder=recorder,
        control=control,
        looking=Looking(
            renderer,
            asked(recipe, rows, recorder.run_dir),
            recorder,
            control if ranks is None else None,
            untrained=spec.start is None,
        ),
        schedule=schedule,
        ranks=ranks,
    )
    return built


def _start_text(spec: Spec, trainer: Trainer, resume: checkpoints.Checkpoint | None) -> str:
    trained = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    base = "NF4" if spec.settings.load_in_4bit else spec.settings.dtype
    where = f"resumed from step {resume.step}" if resume else "started"
    count = spec.settings.devices
    device = f"{count} processes on {spec.device}, each" if count > 1 else spec.device
    threads = "1 thread" if spec.settings.threads == 1 else f"{spec.settings.threads} threads"
    return (
        f"{where} on {device} with {threads}: base in {base}, "
        f"{trained:,} trained parameters in float32"
    )


def fail(writer: RunWriter, error: BaseException) -> None:
    """Write down that the run failed, and why."""
    reason = explain(error)
    writer.event("failed", reason, level="error")
    writer.state("failed", reason=reason)


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
