from strategy_engine.signals import Signal, calculate_atr, calculate_sma


class BreakoutWithStops:
    """Buy a new high; the stop and the target are as far away as the market moves."""

    def __init__(self, channel: int = 55, trend: int = 200, stop_ranges: float = 2.0, target_ranges: float = 4.0):
        self.channel = channel
        self.trend = trend
        self.stop_ranges = stop_ranges
        self.target_ranges = target_ranges

    def generate_signal(self, market_data):
        high, low, close = market_data["high"], market_data["low"], market_data["close"]
        if market_data["position"] or len(close) <= max(self.channel, self.trend):
            return "HOLD"
        price = close[-1]
        if price <= high[-self.channel - 1 : -1].max() or price < calculate_sma(close, self.trend):
            return "HOLD"
        move = calculate_atr(high, low, close, 14) / price
        return Signal(
            "BUY",
            size=0.2,
            stop_loss=self.stop_ranges * move,
            take_profit=self.target_ranges * move,
            reason=f"close {price:.5g} above the last {self.channel} highs",
        )
