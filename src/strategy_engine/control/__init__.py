"""The control process: every service of it is built here, once."""

from strategy_engine.control.process import main

__all__ = ["main"]
