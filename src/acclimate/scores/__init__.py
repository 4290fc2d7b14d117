"""Scores of a model on validation data, and measures of its transferability."""
