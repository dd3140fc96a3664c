"""Who of a line gets how much: exact, lower before raise, never more than there is."""

from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError
from strategy_engine.rollout import capital
from strategy_engine.rollout.capital import SWEEP, Account, Lot, Stake

D = Decimal
MONEY = st.decimals(min_value=-1_000, max_value=10**9, places=9)
AMOUNT = st.decimals(min_value=0, max_value=10**9, places=9)


def stake(name, contributed, equity=None, target=None):
    return Stake(
        execution_id=name,
        contributed=D(contributed),
        equity=D(contributed if equity is None else equity),
        target=None if target is None else D(target),
    )


@st.composite
def accounts(draw):
    stakes = tuple(
        Stake(execution_id=f"exec_{n}", contributed=draw(MONEY), equity=draw(AMOUNT))
        for n in range(draw(st.integers(1, 4)))
    )
    idle = draw(AMOUNT)
    return Account(
        capital=capital.total((idle, *(each.contributed for each in stakes))), stakes=stakes
    )


@st.composite
def weights_of(draw, account):
    parts = [draw(st.integers(0, 100)) for _ in account.stakes]
    whole = max(100, sum(parts))
    found = [(D(part) / whole).quantize(D("1e-6"), rounding=ROUND_DOWN) for part in parts]
    return {e.execution_id: w for e, w in zip(account.stakes, found, strict=True)}


class Node:
    """Moves cash as a node does: what is asked, as far as there is some, at any time."""

    def __init__(self, account, locked):
        self.account = account
        self.locked = locked  # what a position ties, by execution
        self.most_contributed = account.contributed

    def ask(self, targets):
        self.account = Account(
            capital=self.account.capital,
            stakes=tuple(
                stake_with(each, target=targets.get(each.execution_id, each.target))
                for each in self.account.stakes
            ),
        )

    def carry_out(self, name):
        moved = []
        for each in self.account.stakes:
            if each.execution_id == name and each.target is not None:
                flow = each.target - each.contributed
                free = max(D(0), each.equity - self.locked[name])
                flow = flow if flow > 0 else max(flow, -free)
                each = stake_with(  # noqa: PLW2901 - the moved stake takes its place
                    each, contributed=each.contributed + flow, equity=each.equity + flow
                )
            moved.append(each)
        self.account = Account(capital=self.account.capital, stakes=tuple(moved))
        self.most_contributed = max(self.most_contributed, self.account.contributed)


def stake_with(of, **fields):
    usual = {name: getattr(of, name) for name in Stake.__slots__}
    return Stake(**(usual | fields))


@given(st.data())
def test_no_order_of_events_gives_more_than_there_is_or_loses_any(data):
    account = data.draw(accounts())
    goal = capital.wanted(account, data.draw(weights_of(account)))
    names = [each.execution_id for each in account.stakes]
    node = Node(account, {name: data.draw(AMOUNT) for name in names})
    before = account.worth
    for _ in range(data.draw(st.integers(0, 12))):
        if data.draw(st.booleans()):
            node.ask(capital.move(node.account, goal).targets)
        else:
            node.carry_out(data.draw(st.sampled_from(names)))
        assert node.account.contributed + node.account.pool == account.capital
        assert node.account.worth == before
        assert node.account.pool >= 0


@given(st.data())
def test_with_all_cash_free_everybody_comes_to_the_weight(data):
    account = data.draw(accounts())
    weights = data.draw(weights_of(account))
    goal = capital.wanted(account, weights)
    node = Node(account, {each.execution_id: D(0) for each in account.stakes})
    for _ in range(3):
        node.ask(capital.move(node.account, goal).targets)
        for each in account.stakes:
            node.carry_out(each.execution_id)
    move = capital.move(node.account, goal)
    assert move.is_done
    assert move.waiting == 0
    for each in node.account.stakes:
        assert each.equity == capital.share(before := account.worth, weights[each.execution_id])
        assert each.equity <= before


@given(st.data())
def test_a_move_that_is_asked_again_before_anything_moved_asks_for_nothing(data):
    account = data.draw(accounts())
    goal = capital.wanted(account, data.draw(weights_of(account)))
    node = Node(account, {})
    node.ask(capital.move(account, goal).targets)
    assert capital.move(node.account, goal).targets == {}


@given(st.data())
def test_what_is_promised_in_one_move_is_never_beyond_the_pool(data):
    account = data.draw(accounts())
    move = capital.move(account, capital.wanted(account, data.draw(weights_of(account))))
    stakes = {each.execution_id: each for each in account.stakes}
    raised = [max(D(0), to - stakes[name].contributed) for name, to in move.targets.items()]
    assert sum(raised) <= account.pool


def test_the_old_gives_before_the_new_gets():
    account = Account(capital=D(100_000), stakes=(stake("old", 100_000, 110_000), stake("new", 0)))
    goal = capital.wanted(account, {"old": D("0.9"), "new": D("0.1")})
    assert goal == {"old": D(89_000), "new": D(11_000)}
    first = capital.move(account, goal)
    assert first.targets == {"old": D(89_000)}
    assert first.waiting == 11_000
    part = Account(
        capital=D(100_000),
        stakes=(stake("old", 96_000, 106_000, target=89_000), stake("new", 0)),
    )
    second = capital.move(part, goal)
    assert second.targets == {"new": D(4_000)}
    assert second.waiting == 7_000


def test_a_promise_that_is_taken_back_counts_as_spent_until_it_is_seen_that_it_is_not():
    account = Account(
        capital=D(100), stakes=(stake("a", 0, target=100), stake("b", 0), stake("c", 0))
    )
    assert capital.move(account, {"a": D(0), "b": D(60)}).targets == {"a": D(0)}
    later = Account(capital=D(100), stakes=(stake("a", 0, target=0), stake("b", 0), stake("c", 0)))
    assert capital.move(later, {"a": D(0), "b": D(60)}).targets == {"b": D(60)}


def test_a_weight_of_nothing_takes_everything_as_it_becomes_free():
    account = Account(capital=D(100), stakes=(stake("a", 100, 130),))
    assert capital.wanted(account, {"a": D(0)}) == {"a": SWEEP}
    assert capital.move(account, {"a": SWEEP}).targets == {"a": SWEEP}
    swept = Account(capital=D(100), stakes=(stake("a", -30, 0, target=SWEEP),))
    assert swept.pool == 130
    assert swept.worth == 130


@given(st.data())
def test_several_share_the_pool_as_they_had_it_whoever_gets_it_first(data):
    names = [f"exec_{n}" for n in range(data.draw(st.integers(2, 4)))]
    had = {name: data.draw(AMOUNT) for name in names}
    gave = {name: data.draw(st.decimals(0, 1, places=3)) for name in names}
    stakes = tuple(
        Stake(
            execution_id=name, contributed=had[name] - capital.share(had[name], part), equity=D(0)
        )
        for name, part in gave.items()
    )
    account = Account(capital=capital.total(had.values()), stakes=stakes)
    node = Node(account, {name: D(0) for name in names})
    node.ask(capital.move(account, capital.shared(account, had)).targets)
    for name in data.draw(st.permutations(names)):
        node.carry_out(name)
        node.ask(capital.move(node.account, capital.shared(node.account, had)).targets)
    assert node.account.pool == 0
    for each in node.account.stakes:
        assert abs(each.contributed - had[each.execution_id]) <= D("1e-8")


def test_what_is_beyond_what_they_had_is_shared_in_the_same_proportion():
    had = {"a": D(60), "b": D(40)}
    account = Account(capital=D(110), stakes=(stake("a", 0), stake("b", 10), stake("c", 5)))
    assert capital.shared(account, had) == {"a": D("63.333333333"), "b": D("41.666666667")}
    nothing_lacks = Account(capital=D(150), stakes=(stake("a", 60), stake("b", 40)))
    assert capital.shared(nothing_lacks, had) == {"a": D(90), "b": D(60)}


def test_what_ended_members_hold_is_not_in_the_pool_and_an_overdraft_is_seen():
    tied = (stake("b", 30, 25),)
    account = Account(capital=D(100), stakes=(stake("a", 70, 71),), tied=tied)
    assert (account.pool, account.worth, account.is_overdrawn) == (0, 96, False)
    given = Account(capital=D(100), stakes=(stake("a", 100),), tied=tied)
    assert (given.pool, given.is_overdrawn) == (-30, True)


def test_what_ended_members_were_worth_is_in_the_pool():
    account = Account(capital=D(100), stakes=(stake("a", 60, 66),), ended_pnl=D(-15))
    assert account.pool == 25
    assert account.worth == 91


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"a": "0.7", "b": "0.4"}, "0.7 + 0.4 = 1.1"),
        ({"a": "-0.1"}, "the weight of a is -0.1"),
        ({"a": "1.01"}, "the weight of a is 1.01"),
        ({"a": "NaN"}, "the weight of a is NaN"),
    ],
)
def test_weights_that_give_away_more_than_there_is_are_refused(weights, told):
    with pytest.raises(InvalidError, match=told.replace("+", r"\+")):
        capital.check_weights({name: D(each) for name, each in weights.items()})


def test_a_step_below_one_lot_is_refused_with_the_arithmetic():
    lots = [
        Lot(symbol="EUR/USD.SIM", units=D(1), price=D("1.1")),
        Lot(symbol="GOOGL.SIM", units=D(1), price=D("812.5")),
    ]
    capital.check_step("step 2", D("0.05"), D(100_000), lots)
    with pytest.raises(InvalidError) as refused:
        capital.check_step("step 1", D("0.005"), D(100_000), lots)
    assert "0.005 of 100000 = 500.000000000" in str(refused.value)
    assert "one lot of GOOGL.SIM costs 1 × 812.5 = 812.5" in str(refused.value)


@given(AMOUNT, st.lists(AMOUNT, max_size=5))
def test_who_waits_with_a_whole_capital_gets_it_only_where_there_is_that_much(spare, wishes):
    named = {f"exec_{n}": wish for n, wish in enumerate(wishes)}
    let_in = capital.affordable(spare, named)
    given = sum((named[name] for name in let_in), D(0))
    assert given <= spare
    assert all(named[name] > spare - given for name in named.keys() - set(let_in))


@given(AMOUNT, st.decimals(min_value=0, max_value=1, places=6))
def test_a_new_execution_opens_with_whole_cents_and_no_more_than_its_share(worth, weight):
    opened = capital.opening(worth, weight)
    assert 0 <= capital.share(worth, weight) - opened < D("0.01")
    assert D(str(float(opened))) == opened  # a config's float keeps it
