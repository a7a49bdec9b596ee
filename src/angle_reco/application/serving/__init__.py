"""Answers requests from memory, from stored lists, or with lists computed for the call."""
