"""The front door: command line, application, workspace and settings."""

import os

__version__ = "0.1.0"

# Textual reads it when it is imported. It paints at ticks, and a key waits for two of them where
# words stream in: at its own 60 a second that is longer than the painting.
os.environ.setdefault("TEXTUAL_FPS", "120")
