"""Protocols for all that the application needs from outside; their docstrings are contracts."""
