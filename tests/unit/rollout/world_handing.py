"""Positions that a world's switch hands over, and what must be as before when it has."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from world_node import SYMBOLS, Trading

from strategy_engine.core import money
from strategy_engine.execution import adopting, engagement
from strategy_engine.execution.adopting import Books
from strategy_engine.execution.model import UNENDED, Adoption, ExecutionStatus, Switch

type World = Any  # the one that has them


async def level(world: World, switch: Switch) -> bool:
    """Let those who hand positions over come to the same bar; whether they have."""
    if not switch.adopts:
        return True
    names = _parties(world, switch)
    if not any(not world.tradings[each].is_flat for each in names if each not in switch.takes):
        return True
    while len({world.tradings[each].next for each in names}) > 1:
        behind = min(names, key=lambda each: world.tradings[each].next)
        at = world.tradings[behind].next
        await world.bar(behind)
        if world.tradings[behind].next == at or behind not in _parties(world, switch):
            return False  # it is silent, or has ended: it is looked at again
    return True


def given(world: World, switch: Switch) -> dict[str, Decimal]:
    """Return what each of those who part with cash has been given."""
    return {
        each: money.to_decimal(world.tradings[each].contributed_nanos) for each in switch.parting
    }


def planned(world: World, switch: Switch) -> Adoption | None:
    """Return what a switch hands over, as a node plans it."""
    if not switch.adopts:
        return None
    books = {
        each: _books(world.tradings[each])
        for each in _parties(world, switch)
        if world.tradings[each].venue.may_take_over
    }
    (taker,) = switch.takes
    if taker not in books:
        return None
    givers = {name: each for name, each in books.items() if name != taker}
    return adopting.plan(switch, givers, books[taker], given(world, switch))


def handed(world: World, switch: Switch) -> Switch:
    """Return a switch with what it hands over; without positions the cash has gone by then."""
    adoption = planned(world, switch)
    if adoption is not None:
        after = adopting.given_after(adoption, given(world, switch))
        return replace(engagement.handed(switch, after), adoption=adoption)
    for name, target in switch.parting.items():
        if world.rows[name].status in UNENDED:
            world.tradings[name].part_with_cash(target)
    return engagement.handed(switch, given(world, switch))


def settle(world: World, switch: Switch) -> None:
    """Let the ledgers have it all at once; the line has what it had."""
    adoption = switch.adoption
    if adoption is None:
        return
    mine = [world.tradings[each] for each in adoption.execution_ids]
    before = _net(mine), _profit(mine)
    for name in adoption.execution_ids:
        trading, amount = world.tradings[name], adoption.flows_nanos.get(name, 0)
        if name == adoption.taker:
            trading.flow(amount)
            trading.cross(adoption.trades_of(name), switch.key)
            assert trading.venue.account.unpledged() >= 0, name
        else:
            trading.cross(adoption.trades_of(name), switch.key)
            trading.flow(amount)
    assert (_net(mine), _profit(mine)) == before
    world.adopted += 1


def _books(trading: Trading) -> Books:
    return Books(account=trading.venue.account, contributed_nanos=trading.contributed_nanos)


def _parties(world: World, switch: Switch) -> list[str]:
    names = [*switch.parting, *switch.takes]
    return [each for each in names if world.rows[each].status is ExecutionStatus.RUNNING]


def _net(tradings: list[Trading]) -> Mapping[str, int]:
    return {symbol: sum(each.lots[symbol] for each in tradings) for symbol in SYMBOLS}


def _profit(tradings: list[Trading]) -> int:
    return sum(each.venue.account.equity() - each.contributed_nanos for each in tradings)
