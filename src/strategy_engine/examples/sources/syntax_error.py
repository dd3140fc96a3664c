class MissesAColon:
    def generate_signal(self, market_data)
        return "HOLD"
