"""Describe a run, start it, watch it."""
