"""Feature extractors, by the kind of their inputs."""
