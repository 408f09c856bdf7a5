"""Rows in another shape, with what that loses."""
