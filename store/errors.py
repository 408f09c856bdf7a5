"""Errors a person can meet, each with a way out.

Knows the one error base of the house. Does not know how an error is shown: the command line
prints both lines to standard error, the interface shows one modal.
"""

from __future__ import annotations


class WorkbenchError(Exception):
    """Something went wrong that the user can do something about.

    Attributes:
        message: one line that names the file, line, key and what was expected.
        hint: one line that says what to do next.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(WorkbenchError):
    """A file, row, option or key is not what was expected: change it and try again."""


class NotFound(WorkbenchError):
    """What was named does not exist: name another, or make it first."""


class Conflict(WorkbenchError):
    """The world changed underneath, or something else holds the thing: choose how to go on."""


class NoSpace(WorkbenchError):
    """The disk is full or would be: make room and try again."""


class WorkerDied(WorkbenchError):
    """A worker process ended without an answer: read its log, then start again."""


class Unsupported(WorkbenchError):
    """Understood, but this model, file or machine cannot do it: take the named alternative."""
