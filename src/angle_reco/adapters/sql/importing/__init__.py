"""Import of CSV files into the reference schema."""
