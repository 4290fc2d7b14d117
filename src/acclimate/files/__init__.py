"""Output files and folders: atomic writes, full disks and unusual names."""
