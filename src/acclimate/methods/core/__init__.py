"""Components of the base class of all methods."""
