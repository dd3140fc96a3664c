"""The Nautilus kernel: unmodified NautilusTrader strategies, validated and live, in the child."""
