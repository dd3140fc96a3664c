"""What a switch hands over: as much as its taker may hold and can pay, and the sums stay."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core import money
from strategy_engine.execution import adopting, engagement
from strategy_engine.execution.adopting import Books
from strategy_engine.execution.model import Adoption, Change, Leg, Role, Switch
from strategy_engine.matching import crossing
from strategy_engine.matching.account import Account
from strategy_engine.matching.model import Order, Rules, Side, Terms

AAA, BBB = "AAA.SIM", "BBB.SIM"
TERMS = [Terms(symbol=each, tick_nanos=10_000_000, lot_nanos=money.NANOS) for each in (AAA, BBB)]
SWEEP = Decimal(-(10**12))
CAPITAL, SHOWN = Decimal(1_000), Decimal(300)


def books(capital: Decimal, held: dict[str, int] | None = None, *, limit: int | None = None):
    """Return an execution's that bought at 90, and marks at 100."""
    nanos = None if limit is None else money.to_nanos(limit)
    account = Account(
        money.to_nanos(capital), TERMS, Rules(allow_short=True, max_position_nanos=nanos)
    )
    for symbol, lots in (held or {}).items():
        account.cash += account.books[symbol].enlarge(lots, 9_000, 0, 1)[0]
    for book in account.books.values():
        book.mark = 10_000
    return Books(account=account, contributed_nanos=money.to_nanos(capital))


def switch(keep: Decimal = SWEEP, whole: Decimal = CAPITAL, symbols=None) -> Switch:
    changes = {
        "old": Change(capital_target=keep),
        "new": Change(role=Role.CANDIDATE, capital_target=whole),
    }
    return Switch(
        key="k",
        gives=("old",),
        takes=("new",),
        symbols=symbols,
        changes=changes,
        hands_cash=True,
        adopts=True,
    )


def planned(asked: Switch, old: Books, new: Books) -> Adoption | None:
    return adopting.plan(asked, {"old": old}, new, {"old": money.to_decimal(old.contributed_nanos)})


def done(adoption: Adoption, **found: Books) -> dict[str, Account]:
    made = {name: crossing.copy(each.account) for name, each in found.items()}
    for name, account in made.items():
        if name == adoption.taker:
            account.cash += adoption.flows_nanos[name]
        for symbol, lots in adoption.trades_of(name):
            crossing.cross(account, crossing.order(account, symbol, lots, 2, ""))
        if name != adoption.taker:
            account.cash += adoption.flows_nanos[name]
    return made


def test_all_that_the_old_version_holds_goes_with_the_cash_that_it_costs():
    old, new = books(CAPITAL, {AAA: 4, BBB: -2}), books(SHOWN)
    found = planned(switch(), old, new)

    assert found.legs == (
        Leg(giver="old", symbol=AAA, lots=4),
        Leg(giver="old", symbol=BBB, lots=-2),
    )
    after = done(found, old=old, new=new)
    assert (after["old"].cash, after["old"].equity()) == (0, 0)
    # 1,000 and 4 × 10 won, 2 × 10 lost: the profit stays the old one's, its cash goes along
    assert after["new"].equity() == money.to_nanos(1_020)
    assert after["new"].unpledged() == money.to_nanos(1_020 - 400 - 200)
    assert found.flows_nanos == {
        "old": -money.to_nanos(1_020),
        "new": money.to_nanos(1_020) - money.to_nanos(SHOWN),
    }


def test_nothing_is_handed_over_where_nothing_is_held():
    assert planned(switch(), books(CAPITAL), books(SHOWN)) is None


def test_a_batch_of_instruments_hands_over_just_those():
    found = planned(switch(symbols=(BBB,)), books(CAPITAL, {AAA: 1, BBB: 2}), books(SHOWN))
    assert [each.symbol for each in found.legs] == [BBB]


def test_an_instrument_that_the_taker_marks_otherwise_stays():
    new = books(SHOWN)
    new.account.books[AAA].mark = 10_001
    found = planned(switch(), books(CAPITAL, {AAA: 1, BBB: 2}), new)
    assert [each.symbol for each in found.legs] == [BBB]


def test_an_exit_that_waits_is_the_old_versions_own():
    old = books(CAPITAL, {AAA: 4})
    old.account.submit([Order(symbol=AAA, side=Side.SELL, lots=4, opens=False, decided_ns=1)])
    assert planned(switch(), old, books(SHOWN)) is None


def test_no_more_goes_than_the_takers_largest_position():
    found = planned(switch(), books(CAPITAL, {AAA: 4}), books(SHOWN, limit=250))
    assert found.legs == (Leg(giver="old", symbol=AAA, lots=2),)


def test_no_more_goes_than_the_taker_can_pay():
    """Of a batch the old version keeps 900, so that it gives 40 and the price of what goes."""
    old, new = books(CAPITAL, {AAA: 6}), books(Decimal(0))
    found = planned(switch(keep=Decimal(700)), old, new)

    assert found.legs == (Leg(giver="old", symbol=AAA, lots=3),)  # 300 of capital came
    after = done(found, old=old, new=new)
    assert after["new"].unpledged() == 0
    assert planned(switch(keep=Decimal(950)), old, new) is None


def test_what_the_taker_holds_against_it_is_closed_and_the_rest_is_opened():
    found = planned(switch(whole=Decimal(1_300)), books(CAPITAL, {AAA: 5}), books(SHOWN, {AAA: -2}))
    assert found.legs == (
        Leg(giver="old", symbol=AAA, lots=2),
        Leg(giver="old", symbol=AAA, lots=3),
    )


held = st.dictionaries(st.sampled_from([AAA, BBB]), st.integers(-8, 8).filter(bool))


@given(
    mine=held,
    theirs=held,
    keep=st.sampled_from([SWEEP, Decimal(0), Decimal(400), Decimal(900)]),
    pool=st.integers(0, 300).map(Decimal),
    limit=st.none() | st.integers(0, 900),
)
def test_a_line_has_after_it_what_it_had_and_nobody_owes(mine, theirs, keep, pool, limit):
    old, new = books(CAPITAL, mine), books(SHOWN, theirs, limit=limit)
    asked = switch(keep, whole=CAPITAL + SHOWN + pool)
    found = planned(asked, old, new)
    if found is None:
        return
    after = done(found, old=old, new=new)

    both = (old.account, new.account)
    for symbol in (AAA, BBB):
        held_before = sum(each.books[symbol].lots for each in both)
        assert sum(each.books[symbol].lots for each in after.values()) == held_before
    flows = sum(found.flows_nanos.values())
    equity = sum(each.equity() for each in both)
    assert sum(each.equity() for each in after.values()) == equity + flows
    assert flows <= money.to_nanos(pool)
    for name, each in (("old", old.account), ("new", new.account)):
        assert after[name].unpledged() >= min(0, each.unpledged())
    given_now = adopting.given_after(found, {"old": CAPITAL})
    wanted = engagement.handed(asked, given_now).changes["new"].capital_target
    reached = new.contributed_nanos + found.flows_nanos["new"]
    assert money.to_decimal(reached) <= wanted or wanted < SHOWN
