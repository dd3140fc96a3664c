"""What must stop: limits watched, restraints, the kill switch."""
