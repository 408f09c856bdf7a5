"""Recorded curves of real training runs under planted faults, and the script that makes them."""
