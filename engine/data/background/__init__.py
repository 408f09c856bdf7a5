"""Looks through all rows in processes of their own, so that no screen waits."""
