"""Pure functions of tensors, one family in each file."""
