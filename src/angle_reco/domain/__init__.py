"""Values and pure functions: what a recommendation is."""
