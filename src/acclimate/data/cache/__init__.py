"""A folder on the user's disk for what is slow to compute again."""
