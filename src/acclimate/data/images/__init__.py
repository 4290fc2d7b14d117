"""Images as inputs: reading, transforms and data sets."""
