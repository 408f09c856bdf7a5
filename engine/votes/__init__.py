"""Judging answers by hand: reviews, what the votes say, and the rows that they become."""
