"""Networks and procedures that methods are built of."""
