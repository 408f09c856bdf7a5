"""The commands, one module a room. Light: engine modules are imported when a command runs."""
