"""Data: samples, their division, views and loaders."""
