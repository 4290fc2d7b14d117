"""Files and folders that a run writes: replaced as a whole, on disks that may be full, under names that may hold anything."""
