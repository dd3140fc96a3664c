"""Who is told: rules on metrics and events, alerts, and their way to people."""
