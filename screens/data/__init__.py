"""The Data room: look at rows, fix them, see what of them is trained."""
