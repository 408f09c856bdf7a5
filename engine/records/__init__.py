"""Records: what a run came from, runs repeated, compared, reported and brought in from elsewhere."""
