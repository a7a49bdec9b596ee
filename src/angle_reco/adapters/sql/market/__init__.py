"""The marketplace: the host's selects or the reference schema."""
