"""Trades a made-up market on paper into a ledger, from wherever it stands, until it is killed."""

import asyncio
import sys
from collections.abc import Iterator

from strategy_engine.core import money
from strategy_engine.core.clock import SystemClock
from strategy_engine.infra.database import Database
from strategy_engine.matching.model import BUY, HOLD, SELL, Decision, Rules, Terms
from strategy_engine.venue.ledger import Ledger
from strategy_engine.venue.model import BarProcessed, Opened
from strategy_engine.venue.paper import PaperVenue
from strategy_engine.venue.service import Records

EXECUTION = "exec_killed"
SYMBOL = "EUR/USD.SIM"
CAPITAL_NANOS = money.to_nanos(100_000)
TERMS = Terms(symbol=SYMBOL, tick_nanos=10_000, lot_nanos=money.NANOS)
HOUR_NS = 3_600 * money.NANOS


def new_venue(epoch: int) -> PaperVenue:
    how = Rules(allow_short=True, position_size_ppb=300_000_000)
    return PaperVenue(EXECUTION, capital_nanos=CAPITAL_NANOS, terms=[TERMS], how=how, epoch=epoch)


def bar(number: int) -> tuple[tuple[int, int], tuple[int, int, int, int], Decision]:
    """Return the times, the ticks and what is decided at the close of bar `number`."""
    opened, closed = (110_000 + (n * 7_919) % 2_003 for n in (number, number + 1))
    ticks = (opened, max(opened, closed) + 40, min(opened, closed) - 40, closed)
    times = (number * HOUR_NS, (number + 1) * HOUR_NS)
    return times, ticks, (BUY, HOLD, HOLD, SELL, HOLD)[number % 5]


def entries(venue: PaperVenue, epoch: int, *, bars: int, fills: int) -> Iterator[BarProcessed]:
    """Trade on from bar `bars`, and give the ledger's entry of each bar."""
    number, fill_no = bars, fills + 1
    while True:
        times, ticks, decision = bar(number)
        happened = venue.on_bar(SYMBOL, times, ticks)
        placed = venue.decide(SYMBOL, decision, times[1])
        number += 1
        yield BarProcessed(
            execution_id=EXECUTION,
            epoch=epoch,
            entry_no=number,
            symbol=SYMBOL,
            close_ns=times[1],
            bar_no=number,
            is_decided=True,
            equity_nanos=venue.account.equity(),
            cash_nanos=venue.account.cash,
            contributed_nanos=CAPITAL_NANOS,
            benchmark=ticks[3] / 110_000,
            terms=venue.terms,
            account=venue.dump(),
            first_fill_no=fill_no,
            fills=happened.fills,
            cancelled=happened.cancelled,
            orders=placed.orders,
            denials=placed.denials,
            decision=decision,
        )
        fill_no += len(happened.fills)


async def main(url: str, epoch: int) -> None:
    database = Database(url)
    kept = await Records(database).checkpoint(EXECUTION)
    await database.aclose()
    venue = new_venue(epoch)
    if kept is not None:
        venue.load(kept.account)
    ledger = Ledger(url)
    await ledger.append(
        Opened(
            execution_id=EXECUTION,
            epoch=epoch,
            capital_nanos=CAPITAL_NANOS,
            account=venue.dump(),
            at=SystemClock().now(),
        )
    )
    bars, fills = (0, 0) if kept is None else (kept.bar_no, kept.fill_count)
    for entry in entries(venue, epoch, bars=bars, fills=fills):
        done = ledger.append(entry)
        if entry.fills:
            await done
            sys.stdout.write(f"{entry.bar_no} {entry.first_fill_no + len(entry.fills) - 1}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
