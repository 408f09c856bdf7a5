"""The front door: command line, application, workspace and settings."""

__version__ = "0.1.0"
