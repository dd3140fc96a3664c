class MovingAverageCross:
    """Hold while the fast average is above the slow one."""

    def __init__(self, fast: int = 10, slow: int = 20):
        self.fast = fast
        self.slow = slow

    def generate_signal(self, market_data):
        prices = market_data["prices"]
        fast = calculate_sma(prices, self.fast)
        slow = calculate_sma(prices, self.slow)
        if fast > slow:
            return "BUY"
        if fast < slow:
            return "SELL"
        return "HOLD"
