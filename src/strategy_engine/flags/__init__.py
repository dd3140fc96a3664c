"""Feature flags: typed, owned, expiring, audited; read by strategies once a decision bar."""
