"""`workbench data`: look at a dataset, edit it, and write it back. One module an idea."""

# In the order of the help.
from workbench.commands.data import look, find, check, edit, keep, shape, split, trainers  # isort: skip
from workbench.commands.data.base import app

__all__ = ["app", "check", "edit", "find", "keep", "look", "shape", "split", "trainers"]
