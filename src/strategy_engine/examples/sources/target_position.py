import math


class BandTarget:
    """Hold more the further the price lies below the middle of its Bollinger bands."""

    def __init__(self, period: int = 20, deviations: float = 2.0, steps: int = 4, most: float = 0.5):
        self.period = period
        self.deviations = deviations
        self.steps = steps
        self.most = most

    def generate_signal(self, market_data):
        prices = market_data["prices"]
        upper, middle, lower = calculate_bollinger(prices, self.period, self.deviations)
        if math.isnan(middle) or upper == lower:
            return 0.0
        depth = (middle - prices[-1]) / (middle - lower)
        step = round(min(max(depth, 0.0), 1.0) * self.steps)
        return self.most * step / self.steps
