"""Unsaved edits: what was done, laid over the file, taken back, merged and moved along."""
