"""Files of runs: records, checkpoints and metrics."""
