"""Strategy Engine: from a strategy in a file to capital at work, and back, safely."""
