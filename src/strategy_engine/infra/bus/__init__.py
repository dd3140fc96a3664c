"""What the engine says to others and hears from them: topics, wire format, Redis Streams."""
