"""Data: the user's JSONL file as rows that can be looked at, edited, saved and frozen."""
