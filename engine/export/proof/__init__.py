"""Is the export the model that was trained? What is asked, of whom, and how far it may stray."""
