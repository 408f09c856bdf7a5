"""Train, evaluation and test parts, recorded and frozen."""
