"""The default data of the package: rendered and handwritten digits."""
