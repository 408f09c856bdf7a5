"""Every shape of a fine-tuning row: one module a family, and a table that says which one it is.

Knows JSON objects. Does not know bytes, lines or files.
"""
