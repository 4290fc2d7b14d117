"""One way to train in each file."""
