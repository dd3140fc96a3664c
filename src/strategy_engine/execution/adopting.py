"""What a switch hands over of positions: as much as its taker may hold, and can pay. Pure."""

import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from strategy_engine.core import money
from strategy_engine.execution.model import Adoption, Leg, Switch
from strategy_engine.matching import crossing
from strategy_engine.matching.account import Account
from strategy_engine.venue import purse

type Trades = Iterable[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What an execution has between two bars, and what it was given; nothing here changes it."""

    account: Account
    contributed_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What would flow if some positions were handed over, and what the taker would have free."""

    flows_nanos: Mapping[str, int]
    free_nanos: int


def plan(
    switch: Switch, givers: Mapping[str, Books], taker: Books, given: Mapping[str, Decimal]
) -> Adoption | None:
    """Return what a switch hands over; None: no position.

    A position goes at the mark that both have. Left behind, for its giver to close, is what the
    giver has ordered out of already, what the taker's largest position has no room for, and what
    its cash does not pay.

    Parameters
    ----------
    givers : mapping
        Those who are there and give.
    given : mapping
        What each of those who part with cash has been given by now, there or not.
    """
    (name,) = switch.takes
    given_nanos = {each: money.to_nanos(amount) for each, amount in given.items()}

    def outcome(legs: Sequence[Leg]) -> Outcome:
        return _outcome(switch, givers, taker, given_nanos, legs)

    legs = _payable(outcome, _fitting(switch, givers, taker.account))
    if not legs:
        return None
    return Adoption(taker=name, legs=legs, flows_nanos=outcome(legs).flows_nanos)


def given_after(adoption: Adoption, given: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return what those who part with cash have been given once an adoption is in the ledgers."""
    flows = adoption.flows_nanos
    return {
        name: money.to_decimal(money.to_nanos(each) + flows.get(name, 0))
        for name, each in given.items()
    }


def _fitting(switch: Switch, givers: Mapping[str, Books], taker: Account) -> list[Leg]:
    tried = crossing.copy(taker)
    legs = []
    for name, each in givers.items():
        for symbol in _shared(switch, each.account, tried):
            for lots in crossing.room(tried, symbol, crossing.leaving(each.account, symbol)):
                _trade(tried, [(symbol, lots)])
                legs.append(Leg(giver=name, symbol=symbol, lots=lots))
    return legs


def _shared(switch: Switch, giver: Account, taker: Account) -> list[str]:
    names = giver.books if switch.symbols is None else switch.symbols
    both = [each for each in names if each in giver.books and each in taker.books]
    return [each for each in both if giver.books[each].mark == taker.books[each].mark]


def _payable(outcome: Callable[[Sequence[Leg]], Outcome], legs: Iterable[Leg]) -> tuple[Leg, ...]:
    kept: list[Leg] = []
    full: set[str] = set()  # what does not go whole is left there: its next leg counts on it
    for leg in legs:
        if leg.symbol in full:
            continue
        payable = _most(outcome, kept, leg)
        if payable != leg.lots:
            full.add(leg.symbol)
        if payable:
            kept.append(replace(leg, lots=payable))
    return tuple(kept)


def _most(outcome: Callable[[Sequence[Leg]], Outcome], kept: Sequence[Leg], leg: Leg) -> int:
    sign = 1 if leg.lots > 0 else -1

    def is_too_much(lots: int) -> bool:
        return outcome([*kept, replace(leg, lots=sign * lots)]).free_nanos < 0

    if not is_too_much(abs(leg.lots)):
        return leg.lots
    return sign * bisect.bisect_left(range(1, abs(leg.lots)), x=True, key=is_too_much)


def _outcome(
    switch: Switch,
    givers: Mapping[str, Books],
    taker: Books,
    given_nanos: Mapping[str, int],
    legs: Sequence[Leg],
) -> Outcome:
    (name,) = switch.takes
    adoption = Adoption(taker=name, legs=tuple(legs), flows_nanos={})
    flows: dict[str, int] = {}
    for each, target in switch.parting.items():
        if each in givers:
            tried = crossing.copy(givers[each].account)
            _trade(tried, adoption.trades_of(each))
            wanted = money.to_nanos(target) - givers[each].contributed_nanos
            flows[each] = purse.split(wanted, tried.unpledged()).amount_nanos
    left = sum(nanos + flows.get(each, 0) for each, nanos in given_nanos.items())
    tried = crossing.copy(taker.account)
    wanted = _whole(switch, name) - left - taker.contributed_nanos
    flows[name] = purse.split(wanted, tried.unpledged()).amount_nanos
    tried.cash += flows[name]
    _trade(tried, adoption.trades_of(name))
    return Outcome(flows_nanos=flows, free_nanos=tried.unpledged())


def _trade(account: Account, trades: Trades) -> None:
    for symbol, lots in trades:
        crossing.cross(account, crossing.order(account, symbol, lots, 0, ""))


def _whole(switch: Switch, taker: str) -> int:
    target = switch.changes[taker].capital_target
    if target is None:
        raise ValueError(f"switch {switch.key} does not say what there is to be handed over")
    return money.to_nanos(target)
