"""The capital of an execution as the API tells it: what it was given, and what of it is free."""

from collections.abc import Sequence

from strategy_engine.api import capital_targets, example_readings, plain, shapes
from strategy_engine.core import clock
from strategy_engine.execution.model import Execution
from strategy_engine.venue.accounts import AccountNow
from strategy_engine.venue.service import CapitalFlow


class Flow(shapes.Answer):
    """Cash that entered (+) or left (-) between two bars, and what there was after it.

    `bar_closed_at` is the close of the last bar before it, null before the first.
    """

    entry_no: int
    timestamp: shapes.Time
    bar_closed_at: shapes.Time | None
    amount: shapes.Number
    contributed: shapes.Number
    equity: shapes.Number
    cash: shapes.Number


class Capital(shapes.Page):
    """What an execution was given in all, what it is to have, and its flows, oldest first.

    `target` is null where it keeps what it has, `nothing` where all is to leave, and below zero
    where so much profit is to leave as well. What is still to leave beyond what is `free` waits
    until positions are closed. `equity`, `cash`, `free` and `pnl` are null until the execution has
    begun. The ledger of one that has ended stays as it was, whoever has its cash since.
    """

    model_config = shapes.example(example_readings.CAPITAL)

    execution_id: str
    contributed: shapes.Number
    target: capital_targets.Target
    equity: shapes.MaybeNumber
    cash: shapes.MaybeNumber
    free: shapes.MaybeNumber
    pnl: shapes.MaybeNumber
    flows: list[Flow]


def flow(found: CapitalFlow) -> Flow:
    """Return cash that entered or left."""
    return Flow(
        entry_no=found.entry_no,
        timestamp=found.at,
        bar_closed_at=None if found.close_ns is None else clock.from_nanos(found.close_ns),
        amount=plain.number(found.amount),
        contributed=plain.number(found.contributed),
        equity=plain.number(found.equity),
        cash=plain.number(found.cash),
    )


def capital(
    found: Execution,
    account: AccountNow | None,
    flows: tuple[Sequence[CapitalFlow], int],
    *,
    limit: int,
    offset: int,
) -> Capital:
    """Return an execution's capital as its ledger has it, and as its row has it until then."""
    some, total = flows
    return Capital(
        execution_id=found.execution_id,
        contributed=plain.number(found.capital if account is None else account.contributed),
        target=found.capital_target,
        equity=None if account is None else plain.number(account.equity),
        cash=None if account is None else plain.number(account.cash),
        free=None if account is None else plain.number(account.free),
        pnl=None if account is None else plain.number(account.pnl),
        flows=[flow(each) for each in some],
        count=len(some),
        total=total,
        limit=limit,
        offset=offset,
    )
