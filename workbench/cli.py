"""The command line: every action of the interface, without a screen.

Knows how commands are named and how they end: 0 for success, 2 for bad input, 1 for a fault of
ours. Does not know what they do (see `workbench.commands`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from store.errors import WorkbenchError
from workbench.commands import chat, check, data, demo, doctor, export, train
from workbench.output import WorkspaceOption, complain

app = typer.Typer(
    name="workbench",
    help="Look at data, fine-tune on exactly what you saw, chat base against adapter, export a "
    "proved GGUF. Without a command: the application.",
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
for command in (
    train.train,
    train.runs,
    train.show,
    train.log,
    train.stop,
    train.resume,
    chat.chat,
    check.check,
    export.export,
    export.verify,
    doctor.doctor,
    demo.demo,
):
    app.command()(command)


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
    try:
        app()
    except WorkbenchError as error:
        complain(error.message, error.hint)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the last door: no stack trace on a screen
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
