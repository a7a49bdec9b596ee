"""The rules that score: interests, similar items, popularity and rankers."""
