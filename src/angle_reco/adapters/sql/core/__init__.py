"""Engines, connections, transactions and types, on both databases."""
