"""Use cases: what can be asked for, each a frozen record of ports."""
