"""The scoring rules: interests, similar items, popularity and rankers."""
