"""What the application needs from outside, as protocols whose docstrings are contracts."""
