"""The process wall: a warm zygote, its forked and confined children, and frames between."""
