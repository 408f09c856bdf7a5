"""One of several processes that train a run (heavy); `accelerate launch` starts one a device.

The first one takes over the pen of the process that holds the devices, and signs with its number:
the run stands or falls with that one. Knows who leads and how an end is told. Does not know how
batches are shared (see `ranks`).
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import msgspec

from engine.train import reserve, worker
from engine.train import spec as specs
from engine.train.control import Control, StopRequested
from engine.train.devices import launcher
from engine.train.devices.sharing import Sharing, share
from engine.train.failures import explain
from engine.train.recording import Recorder
from engine.train.spec import Spec
from store.errors import WorkbenchError
from store.rundb import RunWriter
from store.workspace import Workspace


def main(arguments: list[str]) -> int:
    """Do this process's part of a run; 0 where it ended as it was asked to."""
    os.umask(0o077)
    launcher.die_with_parent()
    run_dir = Path(arguments[0])
    whole = specs.read(run_dir)
    sharing = share(whole.settings)
    spec = _mine(whole, sharing)
    if os.environ["RANK"] == "0":
        return _lead(run_dir, spec, sharing)
    return _follow(run_dir, spec, sharing)


def _mine(spec: Spec, sharing: Sharing) -> Spec:
    """The spec as one process has it: fewer forward passes in a step, and fewer threads."""
    recipe = spec.recipe | {
        "gradient_accumulation_steps": sharing.accumulation,
        "threads": launcher.threads_each(spec),
    }
    return msgspec.structs.replace(spec, recipe=recipe)


def _lead(run_dir: Path, spec: Spec, sharing: Sharing) -> int:
    control = Control(Workspace(Path(spec.workspace)), spec.run_id)
    control.listen_for_signals()
    signed = int(os.environ[launcher.SIGNED])
    for told in run_dir.glob("rank-*.failed"):
        told.unlink()
    with RunWriter.open(run_dir / specs.DATABASE, signed) as writer:
        (run_dir / launcher.LEADER).write_text(str(os.getpid()))
        try:
            reserve.hold(run_dir)
            ending, reason = _train(spec, sharing, Recorder(writer, run_dir), control)
            writer.state(ending, reason=reason)
        except StopRequested as stop:
            writer.state(stop.ending)
        except WorkbenchError as error:
            sys.stderr.write(traceback.format_exc())
            worker.fail(writer, error)
            return 1
        except BaseException as error:
            worker.fail(writer, _said_by_another(run_dir) or error)
            raise
        finally:
            control.close()
            worker.say_last_words(writer, run_dir)
    return 0


def _follow(run_dir: Path, spec: Spec, sharing: Sharing) -> int:
    from engine.train.devices.ranks import Deaf, Silent

    control = Deaf(Workspace(Path(spec.workspace)), spec.run_id)
    control.listen_for_signals()
    try:
        _train(spec, sharing, Recorder(Silent(run_dir / specs.DATABASE), run_dir), control)
    except BaseException as error:
        (run_dir / f"rank-{os.environ['RANK']}.failed").write_text(explain(error))
        raise
    return 0


def _train(
    spec: Spec, sharing: Sharing, recorder: Recorder, control: Control
) -> tuple[str, str | None]:
    from engine.train.devices.ranks import Ranks

    ranks = Ranks(spec.settings, sharing, spec.device, sharded=launcher.sharded(spec))
    return worker.train(spec, recorder, control, ranks)


def _said_by_another(run_dir: Path) -> WorkbenchError | None:
    """Why another process ended, which this one only noticed by its silence."""
    for told in sorted(run_dir.glob("rank-*.failed")):
        number = told.stem.removeprefix("rank-")
        return WorkbenchError(f"device {number}: {told.read_text().rstrip('. ')}", "See the log.")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
