class WaitsForTheImpossible:
    """Buy when the price has fallen below zero."""

    def generate_signal(self, market_data):
        return "BUY" if market_data["prices"][-1] < 0 else "HOLD"
