"""Events sent to URLs: signed, at least once, and never in the way of anything."""
