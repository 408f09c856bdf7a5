"""Check suites: prompts, deterministic checks of the answers, and honest rates."""
