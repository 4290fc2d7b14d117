"""Callbacks of every run: logging, reports and safety checks."""
