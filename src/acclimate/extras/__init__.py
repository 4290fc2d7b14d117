"""Options that any method takes: losses on target predictions, soft labels and label shift."""
