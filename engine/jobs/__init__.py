"""Detached processes: spawning, identity by pid and start time, facts about the machine. Light."""
