"""Feature extractors for each kind of input."""
