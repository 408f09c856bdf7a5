"""From a trained model to one proved file."""
