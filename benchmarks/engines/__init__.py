"""A whole engine to measure, as its users start it."""
