"""The cache on the user's disk for results that are slow to compute."""
