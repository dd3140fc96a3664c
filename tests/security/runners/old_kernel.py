"""A runner whose zygote takes this kernel for one with the third version of Landlock."""

from breakable import answer

from strategy_engine.sandbox import landlock

landlock.version = lambda: 3
main = answer
