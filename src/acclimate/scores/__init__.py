"""Scores of a model on validation data, and of how well a model transfers."""
