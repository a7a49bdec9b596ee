"""Importing CSV files into the reference schema."""
