import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strategy_engine.matching import rules
from strategy_engine.matching.model import NANOS, PPB, PPM, Cause, Rules, Side, Terms

PRICES = st.integers(1, 10**9)
COSTS = st.integers(0, 100_000)  # up to 10 %
TERMS = st.builds(
    Terms,
    symbol=st.just("X"),
    tick_nanos=st.sampled_from([1, 10, 1_000, 10_000, 10_000_000, NANOS, 25 * NANOS // 100]),
    lot_nanos=st.sampled_from([1, 10, 1_000, 10**6, NANOS, 1_000 * NANOS]),
)


@given(PRICES, COSTS)
def test_slippage_is_never_in_the_takers_favour(price: int, slippage_ppm: int) -> None:
    assert rules.slipped(price, Side.BUY, slippage_ppm) >= price
    assert 1 <= rules.slipped(price, Side.SELL, slippage_ppm) <= price


@given(PRICES, COSTS)
def test_slippage_is_rounded_by_less_than_a_tick(price: int, slippage_ppm: int) -> None:
    bought = rules.slipped(price, Side.BUY, slippage_ppm)
    assert 0 <= bought * PPM - price * (PPM + slippage_ppm) < PPM


def test_a_basis_point_of_slippage_by_hand() -> None:
    assert rules.slipped(10_000, Side.BUY, 100) == 10_001
    assert rules.slipped(10_000, Side.SELL, 100) == 9_999
    assert rules.slipped(10_001, Side.BUY, 100) == 10_003  # 10,002.0001, against the buyer


def test_a_fee_by_hand() -> None:
    assert rules.fee(1_000 * NANOS, 100) == NANOS // 10  # one basis point of 1,000 is 0.10


@pytest.mark.parametrize(("lots", "expected"), [(100, (9_500, 11_000)), (-100, (10_500, 9_000))])
def test_protection_lies_on_the_losing_and_on_the_winning_side(
    lots: int, expected: tuple[int, int]
) -> None:
    assert rules.protection(10_000 * 100, lots, PPB // 20, PPB // 10) == expected


@pytest.mark.parametrize("off", [None, 0])
def test_protection_can_be_switched_off(off: int | None) -> None:
    assert rules.protection(10_000 * 100, 100, off, off) == (None, None)


STOP, TARGET = Cause.STOP_LOSS, Cause.TAKE_PROFIT


@pytest.mark.parametrize(
    ("bar", "lots", "expected"),
    [
        # A long position with its stop at 95 and its target at 110: open, high, low.
        ((100, 105, 96), 1, None),
        ((100, 105, 95), 1, (STOP, 95)),
        ((100, 110, 96), 1, (TARGET, 110)),
        ((100, 111, 94), 1, (STOP, 95)),  # touches both: the stop
        ((90, 92, 88), 1, (STOP, 90)),  # a gap through the stop fills at the open
        ((115, 120, 112), 1, (TARGET, 115)),  # a gap through the target too
        ((115, 120, 90), 1, (TARGET, 115)),  # it opened beyond the target before it fell
        ((90, 120, 88), 1, (STOP, 90)),
        ((95, 99, 95), 1, (STOP, 95)),
        # The mirror image: short, its stop at 105 and its target at 90.
        ((100, 104, 91), -1, None),
        ((100, 105, 91), -1, (STOP, 105)),
        ((100, 104, 90), -1, (TARGET, 90)),
        ((100, 106, 89), -1, (STOP, 105)),
        ((108, 109, 107), -1, (STOP, 108)),
        ((85, 88, 80), -1, (TARGET, 85)),
        ((85, 120, 80), -1, (TARGET, 85)),
    ],
)
def test_what_a_bar_does_to_a_protected_position(
    bar: tuple[int, int, int], lots: int, expected: tuple[Cause, int] | None
) -> None:
    stop, target = (95, 110) if lots > 0 else (105, 90)
    assert rules.touched(bar, lots, stop, target) == expected


BARS = st.lists(st.integers(1, 200), min_size=3, max_size=3).map(
    lambda three: (three[0], max(three), min(three))
)


@given(BARS, st.integers(1, 200), st.integers(1, 200), st.booleans())
def test_a_protective_fill_lies_inside_the_bar_and_beyond_its_level(
    bar: tuple[int, int, int], one: int, other: int, long: bool
) -> None:
    low, high = min(one, other), max(one, other)
    stop, target = (low, high) if long else (high, low)
    hit = rules.touched(bar, 1 if long else -1, stop, target)
    if hit is None:
        assert bar[2] > low
        assert bar[1] < high
        return
    cause, price = hit
    assert bar[2] <= price <= bar[1]
    level = stop if cause is STOP else target
    falls = (cause is STOP) == long
    assert price <= level if falls else price >= level


@given(BARS, st.integers(1, 200), st.integers(1, 200))
def test_a_short_position_is_the_mirror_image_of_a_long_one(
    bar: tuple[int, int, int], stop: int, target: int
) -> None:
    long = rules.touched(bar, 1, stop, target)
    # Prices mirrored in 1,000 keep their order reversed; the high becomes the low.
    mirrored = (1_000 - bar[0], 1_000 - bar[2], 1_000 - bar[1])
    short = rules.touched(mirrored, -1, 1_000 - stop, 1_000 - target)
    assert short == (long and (long[0], 1_000 - long[1]))


@given(st.integers(0, 10**9), PRICES, st.integers(0, 10**15), TERMS, COSTS)
@example(10**9, 10**9 + 1, 10**15, Terms(symbol="X", tick_nanos=10**7, lot_nanos=10), 0)
def test_what_is_affordable_is_paid_for_and_one_more_lot_would_not_be(
    lots: int, price: int, free: int, terms: Terms, fee_ppm: int
) -> None:
    how = Rules(fee_ppm=fee_ppm)
    found = rules.affordable(lots, price, free, terms, how)

    def cost(lots: int) -> int:
        value = terms.nanos(price * lots)
        return value + rules.fee(value, fee_ppm)

    assert 0 <= found <= lots
    if found:
        assert cost(found) <= free
    if found < lots:
        # Rounding each amount to a billionth may cost the last lot where a lot is worth less.
        assert cost(found + 1 + NANOS // max(1, terms.tick_nanos * terms.lot_nanos)) + 2 >= free


@given(
    st.integers(0, PPB), st.integers(0, 10**15), PRICES, TERMS, st.none() | st.integers(0, 10**14)
)
def test_a_size_never_exceeds_its_share_or_the_position_limit(
    share: int, equity: int, price: int, terms: Terms, limit: int | None
) -> None:
    how = Rules(max_position_nanos=limit)
    value = terms.nanos(price * rules.lots_for(share, equity, price, terms, how))
    assert value <= share * equity // PPB
    assert limit is None or value <= limit


def test_a_tenth_of_a_hundred_thousand_by_hand() -> None:
    cents = Terms(symbol="X", tick_nanos=10_000_000, lot_nanos=NANOS)
    assert rules.lots_for(PPB // 10, 100_000 * NANOS, 3_333, cents, Rules()) == 300
    limited = Rules(max_position_nanos=5_000 * NANOS)
    assert rules.lots_for(PPB // 10, 100_000 * NANOS, 3_333, cents, limited) == 150
    assert rules.lots_for(PPB // 10, -1, 3_333, cents, Rules()) == 0
    assert rules.lots_for(PPB // 10, 100_000 * NANOS, 0, cents, Rules()) == 0


@pytest.mark.parametrize(
    ("lots", "opened", "way"),
    [
        (5, 100, (90, 120, 110)),  # long: the low is adverse
        (-5, 100, (120, 90, 110)),
        (0, 100, (90, 120, 110)),  # flat: the nearer extreme
        (0, 106, (120, 90, 110)),
        (0, 105, (90, 120, 110)),  # both as near
    ],
)
def test_the_adverse_extreme_comes_first(lots, opened, way):
    assert rules.path((opened, 120, 90, 110), lots) == way
