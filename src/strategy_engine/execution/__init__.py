"""Executions: what should run, written by control; and the node's work to make it so."""
