"""A line's books: every ledger against all its fills and flows."""

from dataclasses import dataclass, replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.rollout import bookkeeping, capital
from strategy_engine.venue import books
from strategy_engine.venue.books import Book, Tally

D = Decimal


@dataclass(frozen=True)
class Fill:
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal


FILLS = st.lists(
    st.builds(
        Fill,
        symbol=st.sampled_from(["A.SIM", "B.SIM"]),
        side=st.sampled_from(["BUY", "SELL"]),
        quantity=st.decimals(min_value="0.000000001", max_value=10**6, places=9),
        price=st.decimals(min_value="0.00001", max_value=10**5, places=5),
        fee=st.decimals(min_value=0, max_value=100, places=9),
    ),
    max_size=12,
)


def book(name, tally, **fields):
    usual = {
        "positions": dict(tally.held),
        "opened": D(100_000),
        "flowed": D("-25000.5"),
        "cash": D("74999.5") + tally.paid,
    }
    return Book(execution_id=name, tally=tally, **usual | fields)


@given(FILLS, st.integers(0, 12))
def test_fills_that_are_added_up_bit_by_bit_come_to_the_same(fills, cut):
    whole = books.add(Tally(), fills)
    parts = books.add(books.add(Tally(), fills[:cut]), fills[cut:])
    assert whole == parts
    assert whole.fill_count == len(fills)
    signed = [each.quantity if each.side == "BUY" else -each.quantity for each in fills]
    assert sum(whole.held.values()) == sum(signed)


def test_a_fill_brings_or_takes_its_value_and_its_fee():
    fill = Fill("A.SIM", "BUY", D(10), D("1.5"), D("0.25"))
    assert books.add(Tally(), [fill]).paid == D("-15.25")
    assert books.add(Tally(), [replace(fill, side="SELL")]).paid == D("14.75")


@given(FILLS, FILLS)
def test_ledgers_that_tell_what_happened_agree_to_the_last_digit(one, other):
    both = [books.add(Tally(), each) for each in (one, other)]
    found = {name: book(name, each) for name, each in zip("ab", both, strict=True)}
    judged = bookkeeping.judge(found)
    assert judged.agrees, judged.findings
    assert all(each.agrees for each in judged.held)
    assert judged.cash == judged.expected_cash
    assert judged.fill_count == len(one) + len(other)


def test_faults_that_cancel_out_in_the_sum_are_found_all_the_same():
    tally = Tally(fill_count=1, held={"A.SIM": D(5)}, paid=D(-10))
    more = book("more", tally, positions={"A.SIM": D(6)}, cash=D("74990.5"))
    less = book("less", tally, positions={"A.SIM": D(4)}, cash=D("74988.5"))
    judged = bookkeeping.judge({"more": more, "less": less})
    assert judged.held[0].agrees
    assert judged.cash == judged.expected_cash
    assert not judged.agrees
    assert judged.findings == (
        "more: fills of A.SIM add up to 5, the ledger holds 6",
        "more: capital, flows and fills leave 74989.5 in cash, the ledger has 74990.5",
        "less: fills of A.SIM add up to 5, the ledger holds 4",
        "less: capital, flows and fills leave 74989.5 in cash, the ledger has 74988.5",
    )


def test_a_position_that_no_fill_made_is_a_finding():
    tally = Tally()
    judged = bookkeeping.judge({"a": book("a", tally, positions={"A.SIM": D(1)})})
    assert judged.findings == ("a: fills of A.SIM add up to 0, the ledger holds 1",)


def test_members_that_were_given_what_an_ended_one_still_holds_are_a_finding():
    def stake(name, contributed):
        amount = Decimal(contributed)
        return capital.Stake(execution_id=name, contributed=amount, equity=amount)

    tied = (stake("gone", 40_000),)
    there = capital.Account(capital=Decimal(100_000), stakes=(stake("a", 60_000),), tied=tied)
    assert bookkeeping.judge({}, there).agrees
    too_much = replace(there, stakes=(stake("a", 100_000),))
    (told,) = bookkeeping.judge({}, too_much).findings
    assert told == (
        "members of the line have been given 100000, and 40000 is tied in what ended ones hold, of"
        " 100000 that there is: 40000 too much"
    )
