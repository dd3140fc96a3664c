"""Who is told: alerts, their rules and deliveries."""
