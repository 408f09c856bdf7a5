"""Trackers fed through their own libraries (heavy): `engine.train.trackers RUN_DIR NAME STEP`.

Reads the run's database until standard input closes, sends every number that is new, and ends.
Only scalars and settings leave, the settings without secrets, prompts and paths; W&B stays offline
unless its mode was set. A first failure is told once and ends this process, never the run.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine.records.secrets import HIDDEN, is_secret_name, redacted
from engine.train import spec as specs
from engine.train.sending import Said
from engine.train.spec import Spec
from store.rundb import RunReader, Seen

EVERY_S = 1.0
LEAVE_S = 300.0
_NICE = 10
_PRIVATE = ("probes", "report_to", "suites", "retention_suite")
"""Settings that may hold the user's texts or paths."""

Values = dict[str, float]


class Tracker(Protocol):
    """Where numbers go."""

    def log(self, step: int, values: Values) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in `tensorboard/` of the run's folder; `tensorboard --logdir runs` shows all."""

    def __init__(self, run_dir: Path, settings: Mapping[str, Any], begin: int | None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._writer = EventFileWriter(str(run_dir / "tensorboard"))
        if begin is not None:
            # What is on file beyond here is taken back: these steps come again.
            again = SessionLog(status=SessionLog.START)
            self._writer.add_event(Event(step=begin + 1, wall_time=time.time(), session_log=again))
        self._text(settings)

    def log(self, step: int, values: Values) -> None:
        many = [self._summary.Value(tag=n, simple_value=v) for n, v in values.items()]
        event = self._event(step=step, wall_time=time.time(), summary=self._summary(value=many))
        self._writer.add_event(event)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _text(self, settings: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

        table = "\n".join(["|setting|value|", "|---|---|", *(
            f"|{name}|`{str(value).replace('|', '❘')}`|" for name, value in settings.items()
        )])  # fmt: skip
        kind = self._summary.Value(tag="settings/text_summary").metadata
        kind.plugin_data.plugin_name = "text"
        one = TensorShapeProto.Dim(size=1)
        tensor = TensorProto(
            dtype="DT_STRING",
            string_val=[table.encode()],
            tensor_shape=TensorShapeProto(dim=[one]),
        )
        value = self._summary.Value(tag="settings/text_summary", metadata=kind, tensor=tensor)
        summary = self._summary(value=[value])
        self._writer.add_event(self._event(step=0, wall_time=time.time(), summary=summary))


class TensorBoardX:
    """The same through tensorboardX, where that is what is installed."""

    def __init__(self, run_dir: Path, settings: Mapping[str, Any], begin: int | None) -> None:
        from tensorboardX import SummaryWriter

        purge = begin + 1 if begin is not None else None
        self._writer = SummaryWriter(str(run_dir / "tensorboard"), purge_step=purge)
        self._writer.add_text("settings", "\n".join(f"    {k}: {v}" for k, v in settings.items()))

    def log(self, step: int, values: Values) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB:
    """Weights & Biases: offline unless WANDB_MODE says otherwise; `wandb sync` sends it later."""

    def __init__(self, run_dir: Path, settings: Mapping[str, Any], begin: int | None) -> None:  # noqa: ARG002 - a resumed run goes on under its id
        os.environ.setdefault("WANDB_MODE", "offline")
        os.environ["WANDB_SILENT"] = "true"
        import wandb

        name = _name(run_dir)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "workbench"),
            id=name,
            name=str(settings["name"]),
            config=dict(settings),
            dir=str(run_dir),
            resume="allow",
            settings=wandb.Settings(
                console="off",
                disable_git=True,
                disable_code=True,
                save_code=False,
                disable_job_creation=True,
                x_disable_stats=True,
                x_disable_meta=True,
                x_save_requirements=False,
            ),
        )
        # Its own steps may never go back, and an evaluation comes after its step was sent.
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Values) -> None:
        self._run.log({**values, "step": step})

    def flush(self) -> None:
        """It sends by itself."""

    def close(self) -> None:
        self._run.finish()


class Trackio:
    """trackio: on this machine unless TRACKIO_SPACE_ID or TRACKIO_SERVER_URL names a place."""

    def __init__(self, run_dir: Path, settings: Mapping[str, Any], begin: int | None) -> None:  # noqa: ARG002 - as above
        if os.environ.get("TRACKIO_SPACE_ID"):
            os.environ.pop("HF_HUB_OFFLINE", None)
        import trackio

        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "workbench"),
            name=_name(run_dir),
            config=dict(settings),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, values: Values) -> None:
        self._run.log(values, step=step)

    def flush(self) -> None:
        """It sends by itself."""

    def close(self) -> None:
        self._run.finish()


def open_tracker(
    name: str, run_dir: Path, settings: Mapping[str, Any], begin: int | None
) -> Tracker:
    """A tracker by its name in `report_to`.

    Args:
        begin: the last step that was sent before; None for a new run.
    Raises:
        Exception: whatever its library raises.
    """
    if name == "wandb":
        return WandB(run_dir, settings, begin)
    if name == "trackio":
        return Trackio(run_dir, settings, begin)
    try:
        return TensorBoard(run_dir, settings, begin)
    except ModuleNotFoundError:
        return TensorBoardX(run_dir, settings, begin)


def settings_of(spec: Spec, name: str) -> dict[str, Any]:
    """What a tracker is told of the settings: no prompt, no path, no secret."""
    told: dict[str, Any] = {"run": spec.run_id, "name": redacted(name)}
    told |= {key: _safe(key, value) for key, value in spec.recipe.items() if key not in _PRIVATE}
    told["base"] = Path(spec.base).name
    told["rows"], told["held_out"] = spec.snapshot.train_rows, spec.snapshot.eval_rows
    told["snapshot"], told["device"] = spec.snapshot.sha256, spec.device
    return told | {f"{library}_version": found for library, found in spec.versions.items()}


def _safe(key: str, value: Any) -> Any:
    # Keys as add_tokens and max_tokens count or name tokens; none of ours holds a secret by name.
    if is_secret_name(key) and isinstance(value, str):
        return HIDDEN
    if isinstance(value, list):
        return ",".join(redacted(str(item)) for item in value)
    return redacted(value) if isinstance(value, str) else value


def _name(run_dir: Path) -> str:
    """A name that no run of another workspace has, and the same after every resume."""
    marks = msgspec.json.decode((run_dir / "tracker.json").read_bytes())
    return f"run-{run_dir.name}-{marks['id']}"


class _Feed:
    """What of a run's database is new, step by step; it remembers what was sent."""

    def __init__(self, run_dir: Path, name: str, reader: RunReader, begin: int) -> None:
        self._path = run_dir / f"tracker-{name}.json"
        self._reader = reader
        try:
            known = msgspec.json.decode(self._path.read_bytes(), type=dict[str, int])
        except (OSError, msgspec.DecodeError):
            known = {}
        # A resume takes back the steps that it repeats.
        self._sent = {metric: min(step, begin) for metric, step in known.items()}

    @property
    def begin(self) -> int | None:
        """The last step that was sent; None for a run that is new here."""
        return max(self._sent.values(), default=None)

    def new(self) -> Iterator[tuple[int, Values]]:
        """Steps with their new values, in order."""
        by_step: dict[int, Values] = {}
        for metric, points in self._reader.since(self._sent, Seen()).points.items():
            for step, value in points:
                by_step.setdefault(step, {})[metric] = float("nan") if value is None else value
                self._sent[metric] = step
        yield from sorted(by_step.items())

    def remember(self) -> None:
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(self._sent))
        os.replace(temporary, self._path)


def main(arguments: list[str]) -> int:
    """Send until standard input closes; 1 where the tracker failed.

    Args:
        arguments: run folder, tracker, and the step that the run goes on from.
    """
    run_dir, name, begin = Path(arguments[0]), arguments[1], int(arguments[2])
    mouth = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # What a library prints goes to the log.
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    threading.Thread(target=_leave_at_last, daemon=True).start()
    spec = specs.read(run_dir)
    _identify(run_dir)
    reader = RunReader.open(run_dir / specs.DATABASE)
    try:
        feed = _Feed(run_dir, name, reader, begin)
        title = f"{Path(spec.snapshot.source).stem}-{spec.run_id}"
        tracker = open_tracker(name, run_dir, settings_of(spec, title), feed.begin)
        _say(mouth, "info", f"{name} gets the metrics ({_where(name, run_dir)})")
        going = True
        while going:
            going = not select.select([0], [], [], EVERY_S)[0]
            for step, values in feed.new():
                tracker.log(step, values)
            tracker.flush()
            feed.remember()
        tracker.close()
    except Exception as error:
        text = redacted(str(error) or type(error).__name__, hashes=True).splitlines()[0]
        _say(mouth, "warn", f"{name} gets nothing more: {text}; the run goes on without it")
        raise
    return 0


def _leave_at_last() -> None:
    """End this process some time after the run did, also where a library waits for ever."""
    select.select([0], [], [])
    time.sleep(LEAVE_S)
    os._exit(1)


def _identify(run_dir: Path) -> None:
    """Give the run an id of its own for trackers, once."""
    made = msgspec.json.encode({"id": os.urandom(4).hex()})
    with contextlib.suppress(FileExistsError), (run_dir / "tracker.json").open("xb") as file:
        file.write(made)


def _where(name: str, run_dir: Path) -> str:
    if name == "wandb":
        mode = os.environ.get("WANDB_MODE", "offline")
        return mode if mode != "offline" else f"offline: wandb sync {run_dir}/wandb/offline-run-*"
    if name == "trackio":
        place = os.environ.get("TRACKIO_SPACE_ID") or os.environ.get("TRACKIO_SERVER_URL")
        return redacted(place) if place else "on this machine: trackio show"
    return f"tensorboard --logdir {run_dir}"


def _say(mouth: Any, level: str, text: str) -> None:
    with contextlib.suppress(OSError):  # Nobody listens any more.
        mouth.write(msgspec.json.encode(Said(level, text)) + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
