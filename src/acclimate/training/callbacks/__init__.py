"""Callbacks of every run: logs, reports and safety."""
