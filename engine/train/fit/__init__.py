"""Whether a run fits and how long it takes: estimated before, measured at start and end."""
