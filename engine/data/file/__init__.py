"""The bytes of a file: where its lines are, and how they are written back whole."""
