"""The control process: every service of it is built here, once."""

from strategy_engine.control.process import Birth, main

__all__ = ["Birth", "main"]
