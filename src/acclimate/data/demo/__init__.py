"""Data that comes with the package: rendered and handwritten digits."""
