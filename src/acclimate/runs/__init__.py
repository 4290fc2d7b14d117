"""What a run leaves on disk: its record, its checkpoints and its metrics."""
