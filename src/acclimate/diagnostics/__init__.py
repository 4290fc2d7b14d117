"""Diagnosis of problems in training and of their likely causes."""
