"""Configuration: composing, checking and resolving it, and building objects from it."""
