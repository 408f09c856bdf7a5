"""The command line: every action of the interface, without a screen.

Knows how commands are named and how they end: 0 for success, 2 for bad input, 1 for a fault of
ours. Does not know what they do (see `workbench.commands`).
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from store.errors import WorkbenchError
from workbench.output import WorkspaceOption, complain

_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)

COMMANDS = {
    "data": ("data", "Look at a dataset, edit it, check it, save it."),
    "train": ("train.start", "Train an adapter on a file."),
    "estimate": ("estimate", "Memory and time of a run, before it is started."),
    "recipe": ("recipe", "The settings of a run: what each does, and what it takes."),
    "runs": ("train.look", "List the runs, newest first."),
    "show": ("train.look", "Everything about one run."),
    "log": ("train.look", "What a run wrote."),
    "queue": ("train.queue", "Who waits for a device, and in what order."),
    "stop": ("train.control", "Let a run save a checkpoint and end."),
    "pause": ("train.control", "Let a run save a checkpoint and let go of the device."),
    "checkpoint": ("train.control", "Let a run save a checkpoint now and go on."),
    "extend": ("train.further", "Let a run go on for longer."),
    "fork": ("train.further", "A new run from a checkpoint, with other settings."),
    "checkpoints": ("train.keeping", "What a run has saved; pin one."),
    "watch": ("train.watch", "A run as plain lines, until it ends."),
    "resume": ("train.control", "Go on with a run that ended early."),
    "diagnose": ("diagnose", "What a run's curves mean, and the knob to turn."),
    "compare": ("train.comparing", "Runs side by side, and whether it is more than noise."),
    "reproduce": ("train.comparing", "Train a run again from its records, and compare."),
    "report": ("train.reporting", "One file with everything about a run."),
    "import": ("train.importing", "A run of another program, from its trainer_state.json."),
    "chat": ("chat", "Talk to one or more models, or ask them a file of questions."),
    "chats": ("chats", "Old chats: list, search, show, export, rename, delete."),
    "prompts": ("prompts", "Prompts, system prompts and presets, kept by name."),
    "serve": ("serve", "Answer OpenAI's chat completions on this machine."),
    "vote": ("vote", "Say which answers are better, and what the votes come to."),
    "check": ("check", "Count the answers that pass a suite."),
    "promote": ("promote", "Say which checkpoint chat, export and checks use."),
    "export": ("export", "Write a model as one file or folder, and prove it."),
    "verify": ("export", "Prove a file or folder again."),
    "sizes": ("exports", "How large an export would be, and what fits a machine."),
    "exports": ("exports", "Every export: size, proof, whether it is still there."),
    "doctor": ("doctor", "What this machine has, and what that allows."),
    "demo": ("demo", "Teach, check, chat and export, in a few minutes."),
}
"""Every command: its module in `workbench.commands`, and its line in the help."""

_CALLED = {"data": "app", "chats": "app", "prompts": "app", "import": "import_"}
"""What a command is called in its module where that is not its name."""


class LazyCommands(TyperGroup):
    """Commands whose modules are imported when they are called, so that help is quick."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the hook's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"workbench.commands.{COMMANDS[cmd_name][0]}")
        command = vars(module)[_CALLED.get(cmd_name, cmd_name)]
        if isinstance(command, typer.Typer):
            return typer.main.get_command(command)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(cmd_name)(command)
        return typer.main.get_command(alone)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


app = typer.Typer(
    name="workbench",
    cls=LazyCommands,
    help="Look at data, fine-tune on exactly what you saw, chat base against adapter, export a "
    "proved GGUF. Without a command: the application.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    file: Annotated[
        Path | None, typer.Option("--open", metavar="FILE", help="Dataset to open in the app.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """The application, unless a command is given."""
    if version:
        from workbench import __version__
        from workbench.output import say

        say(f"workbench {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        from workbench.app import run

        run(workspace, file)


def main() -> None:
    """Run the command line and leave with its exit code."""
    _open_output()
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except typer.TyperException as error:
        _misused(error.format_message())
        sys.exit(2)
    except WorkbenchError as error:
        complain(error.message, error.hint)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as leaving:
        # Who reads the output has enough of it, as `head` does: typer leaves with 1 there.
        if isinstance(leaving.__context__, BrokenPipeError):
            sys.exit(0)
        raise
    except OSError as error:
        if error.errno not in _THE_DISK:
            _our_fault(error)
        complain(f"{error.filename or 'the disk'}: {error.strerror}", "Make room, then try again.")
        sys.exit(2)
    except Exception as error:  # noqa: BLE001 - the last door: no stack trace on a screen
        _our_fault(error)


def _open_output() -> None:
    """Write UTF-8 whatever the locale says, and nowhere where there is no output at all."""
    for name in ("stdout", "stderr"):
        stream = vars(sys)[name]
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - till exit
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _misused(message: str) -> None:
    """Say what is wrong with the arguments; the help itself where that is what was asked for."""
    if "\n" in message:
        sys.stderr.write(f"{message}\n")
        return
    words = sys.argv[1:3] if sys.argv[1:2] == ["data"] else sys.argv[1:2]
    named = [word for word in words if not word.startswith("-")]
    if message.startswith("No such command"):
        named.pop()
    known = " ".join(["workbench", *named]) if named and named[0] in COMMANDS else "workbench"
    complain(message, f"Options and arguments: {known} --help")


def _our_fault(error: Exception) -> NoReturn:
    complain(f"a fault of ours: {type(error).__name__}: {error}", f"Report it with {_keep()}")
    sys.exit(1)


def _keep() -> str:
    """Save the current traceback to a file and return its path."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="workbench-fault-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(traceback.format_exc())
    return file.name
