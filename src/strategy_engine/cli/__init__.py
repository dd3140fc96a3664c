"""The command line: parse, call the engine or one local service, print."""
