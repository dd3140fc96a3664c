"""Load balancing: the capital of a line across its approved versions, by a policy."""
