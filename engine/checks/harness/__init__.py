"""Tasks of lm-evaluation-harness on our models, where that is installed."""
