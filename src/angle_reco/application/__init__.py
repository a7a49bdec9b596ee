"""Use cases: each is a frozen record of ports with the calls that a view makes."""
