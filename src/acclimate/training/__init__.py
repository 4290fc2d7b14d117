"""Training of a run from its configuration to its results, with stop and resume."""
