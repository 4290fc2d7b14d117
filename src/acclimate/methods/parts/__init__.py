"""Networks and procedures that several methods are built from."""
