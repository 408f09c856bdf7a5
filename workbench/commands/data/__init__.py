"""`workbench data`: look at a dataset, edit it, and write it back. One module an idea."""

# In the order of the help.
from workbench.commands.data import look, find, replace, edit, shape, keep, check, split, trainers  # isort: skip
from workbench.commands.data.base import app

__all__ = ["app", "check", "edit", "find", "keep", "look", "replace", "shape", "split", "trainers"]
