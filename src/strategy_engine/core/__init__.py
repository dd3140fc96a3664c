"""What every room may use: errors, state tables, identifiers, time and exact numbers."""
