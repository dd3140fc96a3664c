"""Native strategies in validation: what they asked for, replayed by the engine."""
