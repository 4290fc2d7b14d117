"""Vectors of numbers as inputs: tables, transforms and data sets."""
