from statistics import NormalDist


class ChangesItsMind:
    """Draw from a distribution that nobody seeded: no two runs decide the same."""

    def __init__(self):
        self.mood = NormalDist(0, 1)

    def generate_signal(self, market_data):
        (drawn,) = self.mood.samples(1)
        if drawn > 1:
            return "BUY"
        if drawn < -1:
            return "SELL"
        return "HOLD"
