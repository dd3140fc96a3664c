"""Other ways through the same market, to compare a backtest with."""
