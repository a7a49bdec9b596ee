"""Adapters in dictionaries: for tests, for trying things out, and for small hosts."""
