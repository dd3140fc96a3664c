from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.matching.model import Terms


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=20),
    st.sampled_from(["0.00001", "0.01", "0.25", "1", "1e-9"]),
)
def test_prices_on_the_grid_come_back_as_their_ticks(ticks, size):
    terms = Terms(symbol="X", tick_nanos=money.to_nanos(size), lot_nanos=money.NANOS)
    prices = np.array([float(each * Decimal(size)) for each in ticks])
    assert terms.ticks(prices).tolist() == ticks
