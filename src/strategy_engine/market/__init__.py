"""Instruments, the catalogue of bars, the import that judges them, the feed that replays them."""
