"""Figures of a run, each a function of plain tensors that returns a picture."""
