"""What is kept: SQLite catalogue and run databases, one module a noun. No Textual, no torch."""
