"""Strategies: immutable versions, their lifecycle, and who changed it."""
