"""The engine's HTTP API seen from outside: what the command line and scripts talk through."""
