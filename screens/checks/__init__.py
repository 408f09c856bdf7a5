"""The Checks room: suites over the checkpoints of a run."""
