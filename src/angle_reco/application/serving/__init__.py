"""Answering requests: from memory, from stored lists, or computed now."""
