"""Performance: what a history of equity and trades is worth, and how sure one can be of it."""
