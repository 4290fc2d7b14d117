"""Tables and other reports of runs."""
