"""Options of any method: losses on target predictions, soft labels and label shift."""
