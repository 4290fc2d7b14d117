"""Selection of a checkpoint in a run, of a run among many, and of a pretrained backbone."""
