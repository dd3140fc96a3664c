"""Orders, fill rules and position arithmetic. Pure: the one place where a fill is decided."""
