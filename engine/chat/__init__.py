"""Talking to models: a resident worker a base, a client that merges several workers."""
