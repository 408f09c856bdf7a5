"""The Chat room: two models side by side, answering at once."""
