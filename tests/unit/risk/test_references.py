"""Where losses are measured from: untouched by flows, restarts and switches of versions."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.risk import references
from strategy_engine.risk.references import Reference

CAPITAL = Decimal(100_000)
moves = st.lists(
    st.tuples(st.integers(0, 2), st.integers(-900, 900)), min_size=1, max_size=40
)  # days that pass, profit since


def looks(steps: list[tuple[int, int]]) -> list[tuple[int, Decimal]]:
    day, pnl, found = 0, Decimal(0), []
    for days, change in steps:
        day, pnl = day + days, pnl + change
        found.append((day, pnl))
    return found


def after(steps: list[tuple[int, Decimal]], before: Reference | None = None) -> Reference:
    reference = before or references.begin(Decimal(0), 0)
    for day, pnl in steps:
        reference = references.come_to(reference, pnl, day=day)
    return reference


@given(moves)
def test_without_flows_the_drawdown_is_equity_against_its_highest(steps):
    seen = looks(steps)
    reference = after(seen)

    worth = [CAPITAL, *(CAPITAL + pnl for _, pnl in seen)]
    expected = float(worth[-1] / max(worth) - 1)

    assert abs(references.drawdown(reference, worth[-1]) - expected) < 1e-12
    assert -1.0 <= references.drawdown(reference, worth[-1]) <= 0.0


@given(moves, st.integers(-99_000, 900_000))
def test_capital_that_enters_or_leaves_moves_neither_the_loss_nor_the_highest_profit(steps, flow):
    reference = after(looks(steps))
    lost = reference.peak_pnl - reference.pnl
    equity = CAPITAL + reference.pnl + flow

    found = references.drawdown(reference, equity)

    # Equity only says of what the loss is a fraction: of itself as it would be at the highest.
    assert -1.0 <= found <= 0.0
    if equity > 0:
        assert abs(found * float(equity + lost) + float(lost)) < 1e-6


@given(moves, st.integers(0, 40))
def test_who_goes_on_after_a_restart_measures_the_same(steps, where):
    seen = looks(steps)

    assert after(seen[where:], after(seen[:where])) == after(seen)


@given(moves, st.integers(0, 40))
def test_a_switch_of_versions_measures_as_if_one_had_gone_on(steps, where):
    seen = looks(steps)
    left = seen[:where][-1][1] if where and seen[:where] else Decimal(0)
    line = after(seen[:where])

    for day, pnl in seen[where:]:  # what the new version made itself, beside what the old one left
        line = references.come_to(line, left + (pnl - left), day=day)

    assert line == after(seen)


@given(moves)
def test_the_days_profit_is_what_came_since_the_day_before_ended(steps):
    seen = looks(steps)
    reference = after(seen)

    before = [pnl for day, pnl in seen if day < seen[-1][0]]
    start = before[-1] if before else Decimal(0)

    assert references.day_pnl(reference) == seen[-1][1] - start


def test_a_day_that_began_between_two_looks_is_measured_from_its_beginning():
    before = references.begin(Decimal(100), 7)

    now = references.come_to(before, Decimal(-50), day=9, day_pnl=Decimal(-80))

    assert references.day_pnl(now) == Decimal(-80)


def test_a_highest_profit_between_two_looks_counts():
    now = references.come_to(
        references.begin(Decimal(0), 1), Decimal(10), day=1, peak_pnl=Decimal(5_000)
    )

    assert now.peak_pnl == 5_000
    assert references.drawdown(now, Decimal(100_010)) == -float(Decimal(4_990) / Decimal(105_000))


def test_what_a_person_lets_go_is_measured_anew():
    lost = after([(1, Decimal(500)), (1, Decimal(-9_500))])

    anew = references.rebased(lost)

    assert references.drawdown(anew, CAPITAL - 9_500) == 0.0
    assert references.day_pnl(anew) == 0


def test_who_has_lost_everything_has_lost_all_of_it():
    gone = after([(1, Decimal(-100_000))])

    assert references.drawdown(gone, Decimal(0)) == -1.0
    assert references.drawdown(after([(1, Decimal(-150_000))]), Decimal(-50_000)) == -1.0
