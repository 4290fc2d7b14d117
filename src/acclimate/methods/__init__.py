"""Training methods, one in each file."""
