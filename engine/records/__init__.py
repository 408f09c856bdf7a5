"""Records: where a run came from; runs repeated, compared, reported, brought in from elsewhere."""
