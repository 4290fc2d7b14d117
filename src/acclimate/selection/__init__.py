"""Selection of a checkpoint within a run, of a run among many, and of a pretrained backbone."""
