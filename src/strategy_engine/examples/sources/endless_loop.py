class NeverAnswers:
    """Wait, inside one decision, for a price that does not change."""

    def generate_signal(self, market_data):
        price = market_data["prices"][-1]
        while market_data["prices"][-1] == price:
            pass
        return "BUY"
