"""A run from its configuration to its results, and how it is stopped and continued."""
