class RunsOut:
    """Look up a plan that ends after a hundred decisions."""

    def __init__(self):
        self.plan = ["BUY", "HOLD", "SELL", "HOLD"] * 25
        self.step = 0

    def generate_signal(self, market_data):
        decision = self.plan[self.step]
        self.step += 1
        return decision
