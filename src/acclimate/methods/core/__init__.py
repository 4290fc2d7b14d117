"""What the base class of all methods is made of."""
