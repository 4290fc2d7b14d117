"""What judges a model on validation images."""
