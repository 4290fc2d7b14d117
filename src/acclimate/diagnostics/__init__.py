"""Signs that training goes wrong, and their likely causes."""
