class DipBuyer:
    """Buy after three falling closes, sell after a fixed number of bars; keep count across restarts."""

    def __init__(self, falls: int = 3, hold_bars: int = 8):
        self.falls = falls
        self.hold_bars = hold_bars
        self.bars_held = 0

    def save_state(self):
        return {"bars_held": self.bars_held}

    def load_state(self, state):
        self.bars_held = state["bars_held"]

    def generate_signal(self, market_data):
        if market_data["position"]:
            self.bars_held += 1
            return "SELL" if self.bars_held >= self.hold_bars else "HOLD"
        self.bars_held = 0
        last = market_data["prices"][-self.falls - 1 :]
        falling = len(last) > self.falls and (last[1:] < last[:-1]).all()
        return "BUY" if falling else "HOLD"
