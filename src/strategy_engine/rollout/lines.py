"""A line as everybody sees it who moves capital: its versions, its members, their money."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from strategy_engine.core.errors import NotFoundError
from strategy_engine.execution.model import (
    REAL,
    UNENDED,
    Closing,
    Execution,
    ExecutionStatus,
    Role,
)
from strategy_engine.execution.service import Executions
from strategy_engine.market import calendars
from strategy_engine.market.model import DAY_NS, Calendar
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.model import Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import bookkeeping, capital
from strategy_engine.venue.accounts import AccountNow
from strategy_engine.venue.books import Tally
from strategy_engine.venue.service import Records

__all__ = ("REAL", "Line", "Lines", "Member")

_AT_WORK = REAL | {Role.SHADOW}
_PAGE = 500
_RECENT = 5_000  # bars that say how an instrument moves


type Accounts = Mapping[str, AccountNow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An unended execution of a line that has capital, its version, and its ledger's account.

    `account` is None until its ledger is opened.
    """

    execution: Execution
    version: str
    account: AccountNow | None

    @property
    def contributed(self) -> Decimal:
        """Return what it has been given."""
        return self.execution.capital if self.account is None else self.account.contributed

    @property
    def equity(self) -> Decimal:
        """Return what it is worth."""
        return self.execution.capital if self.account is None else self.account.equity

    @property
    def execution_id(self) -> str:
        """Return the execution's id."""
        return self.execution.execution_id

    @property
    def stake(self) -> capital.Stake:
        """Return its money as the arithmetic of a line takes it."""
        return capital.Stake(
            execution_id=self.execution_id,
            contributed=self.contributed,
            equity=self.equity,
            target=self.execution.capital_target,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line at one look.

    Parameters
    ----------
    executions : tuple of Execution
        All that it ever had, validation apart.
    tied : tuple of Member
        Those that had capital and have ended, and still hold something.
    """

    strategy_name: str
    versions: tuple[Strategy, ...]
    executions: tuple[Execution, ...]
    members: tuple[Member, ...]
    shadows: tuple[Member, ...]
    tied: tuple[Member, ...] = ()

    def execution(self, execution_id: str) -> Execution | None:
        """Return one of its executions."""
        return next((each for each in self.executions if each.execution_id == execution_id), None)

    @property
    def tying(self) -> tuple[Execution, ...]:
        """Those that have ended and have some of its capital, in a position or on its way."""
        holding = {each.execution_id for each in self.tied}
        return tuple(
            each
            for each in self.executions
            if each.role in REAL
            and each.status not in UNENDED
            and (each.tied or each.execution_id in holding)
        )

    def number(self, row: Execution) -> str:
        """Return the version of one of its executions."""
        return next(
            each.content.version for each in self.versions if each.strategy_id == row.strategy_id
        )

    def alive(self, execution_id: str) -> Member | None:
        """Return a member or a shadow that has not ended."""
        both = (*self.members, *self.shadows)
        return next((each for each in both if each.execution_id == execution_id), None)

    def version(self, number: str) -> Strategy | None:
        """Return a version by its number."""
        return next((each for each in self.versions if each.content.version == number), None)

    def account(self, contributed: Decimal, concerned: Collection[str]) -> capital.Account:
        """Return the money of those executions that somebody moves capital between.

        Parameters
        ----------
        contributed : Decimal
            What they had been given when that began.
        concerned : collection of str
            Who had it, and who has been started since, ended ones too.
        """
        tied = {each.execution_id for each in self.tied}
        return capital.Account(
            capital=contributed,
            stakes=tuple(each.stake for each in self.members if each.execution_id in concerned),
            ended_pnl=ended_pnl(self.executions, set(concerned) - tied),
            tied=tuple(each.stake for each in self.tied if each.execution_id in concerned),
        )

    def leavings(self, concerned: Collection[str]) -> tuple[Member, ...]:
        """Return those of them that have ended and hold what the engine can close."""
        return tuple(
            each
            for each in self.tied
            if each.execution_id in concerned and each.execution.closing is not Closing.STUCK
        )

    def called_in(self, concerned: Collection[str]) -> tuple[str, ...]:
        """Return those of them that are still to be told so."""
        return tuple(
            each.execution_id
            for each in self.leavings(concerned)
            if each.execution.closing is not Closing.CALLED_IN
        )


def ended_pnl(executions: Iterable[Execution], concerned: Collection[str]) -> Decimal:
    """Return the profit of those that have ended with nothing; a shadow never had any."""
    return capital.total(
        each.pnl if each.final_pnl is None else each.final_pnl
        for each in executions
        if each.execution_id in concerned and each.role in REAL and each.status not in UNENDED
    )


class Lines:
    """Reads lines; nothing here writes."""

    def __init__(
        self, *, registry: Registry, executions: Executions, records: Records, catalogue: Catalogue
    ) -> None:
        self._registry = registry
        self._executions = executions
        self._records = records
        self._catalogue = catalogue
        self._tallies: dict[str, Tally] = {}  # fills are kept for ever: each is added up once
        self._yearly: dict[tuple[tuple[str, ...], str | None], float] = {}

    async def members(self, strategy_name: str) -> tuple[Member, ...]:
        """Return the unended executions of a line that have capital, oldest first.

        Raises
        ------
        NotFoundError
            If there is no such line.
        """
        return (await self.look(strategy_name)).members

    async def look(self, strategy_name: str) -> Line:
        """Return a line as it is.

        Raises
        ------
        NotFoundError
            If there is no such line.
        """
        versions = await self._registry.line(strategy_name)
        if not versions:
            raise NotFoundError(
                f"there is no line {strategy_name!r}; GET /lines lists them",
                field="strategy_name",
                value=strategy_name,
            )
        numbers = {each.strategy_id: each.content.version for each in versions}
        found = [each for name in numbers for each in await self._all_of(name)]
        found.sort(key=lambda each: (each.created_at, each.execution_id))
        alive = [each for each in found if each.status in UNENDED and each.role in _AT_WORK]
        tied = await self._tied(found)
        accounts: Accounts = await self._records.accounts(
            [each.execution_id for each in (*alive, *tied)]
        )

        def member(row: Execution) -> Member:
            account = accounts.get(row.execution_id)
            return Member(execution=row, version=numbers[row.strategy_id], account=account)

        known = [member(each) for each in alive]
        return Line(
            strategy_name=strategy_name,
            versions=tuple(versions),
            executions=tuple(found),
            members=tuple(each for each in known if each.execution.role in REAL),
            shadows=tuple(each for each in known if each.execution.role is Role.SHADOW),
            tied=tuple(member(each) for each in tied),
        )

    async def _tied(self, executions: Sequence[Execution]) -> list[Execution]:
        """Return who has ended and holds something, or is not yet known to hold nothing."""
        ended = [each for each in executions if each.status not in UNENDED and each.role in REAL]
        held = await self._records.holdings([each.execution_id for each in ended])
        return [each for each in ended if each.is_closing or held.get(each.execution_id)]

    async def names(self) -> list[str]:
        """Return every line's name, in order."""
        found: set[str] = set()
        seen = 0
        while True:
            page = await self._registry.page(limit=_PAGE, offset=seen)
            found |= {each.content.strategy_name for each in page.strategies}
            seen += len(page.strategies)
            if not page.strategies or seen >= page.total:
                return sorted(found)

    async def books(self, strategy_name: str) -> bookkeeping.Books:
        """Return whether the ledgers of all executions of a line agree with all that happened.

        Raises
        ------
        NotFoundError
            If there is no such line.
        """
        line = await self.look(strategy_name)
        return await self.books_of(line)

    async def books_of(
        self, line: Line, shared: capital.Account | None = None
    ) -> bookkeeping.Books:
        """Return the books of a line that was looked at.

        Parameters
        ----------
        shared : Account or None
            Its money as who shares it counts it, if somebody does.
        """
        names = [each.execution_id for each in line.executions]
        found = await self._records.books(names, self._tallies)
        self._tallies |= {name: each.tally for name, each in found.items()}
        return bookkeeping.judge(found, shared)

    async def positions(self, execution_id: str) -> dict[str, Decimal]:
        """Return what an execution holds now, signed, by symbol."""
        found = await self._records.positions(execution_id)
        return {each.symbol: each.quantity for each in found if each.quantity}

    async def held(self, execution_id: str) -> frozenset[str]:
        """Return the instruments that an execution holds a position in."""
        return frozenset(await self.positions(execution_id))

    async def lots(self, symbols: Iterable[str]) -> list[capital.Lot]:
        """Return the least that can be traded of instruments, at their last known prices."""
        return [await asyncio.to_thread(self._lot, each) for each in symbols]

    async def volatilities(self, symbols: Iterable[str]) -> dict[str, float]:
        """Return the deviation of daily-scaled returns of instruments' recent bars, by symbol."""
        return {each: await asyncio.to_thread(self._volatility, each) for each in symbols}

    async def instants_per_year(self, symbols: Sequence[str], timeframe: str | None) -> float:
        """Return how many instants with a closing bar there are in a year of trading days."""
        key = (tuple(symbols), timeframe)
        if key not in self._yearly:
            self._yearly[key] = await asyncio.to_thread(self._instants, symbols, timeframe)
        return self._yearly[key]

    async def day_of(self, symbols: Sequence[str], close_ns: int) -> int:
        """Return the trading day of the instruments that a bar's close belongs to."""
        calendar = await asyncio.to_thread(self._calendar, symbols)
        return int(calendars.trading_days(np.array([close_ns - 1], dtype=np.int64), calendar)[0])

    def _lot(self, symbol: str) -> capital.Lot:
        instrument = self._catalogue.instrument(symbol)
        last = self._catalogue.bars(symbol, limit=1)
        return capital.Lot(
            symbol=symbol,
            units=instrument.lot_size * instrument.min_lots,
            price=Decimal(str(float(last.close[-1]))),
        )

    def _volatility(self, symbol: str) -> float:
        bars = self._catalogue.bars(symbol, limit=_RECENT)
        made = np.diff(np.log(bars.close))
        per_day = DAY_NS / bars.timeframe_ns
        return float(made.std(ddof=1) * np.sqrt(per_day)) if made.size > 1 else 0.0

    def _calendar(self, symbols: Sequence[str]) -> Calendar:
        found = {self._catalogue.instrument(each).calendar for each in symbols}
        return found.pop() if len(found) == 1 else Calendar.CONTINUOUS

    def _instants(self, symbols: Sequence[str], timeframe: str | None) -> float:
        series = [self._catalogue.bars(each, timeframe, limit=_RECENT) for each in symbols]
        instants = np.unique(np.concatenate([each.close_ns for each in series]))
        calendar = self._calendar(symbols)
        shortest = min(each.timeframe_ns for each in series)
        days = np.unique(calendars.trading_days(instants - shortest, calendar)).size
        return calendar.periods_per_year * instants.size / days if days else 1.0

    async def _all_of(self, strategy_id: str) -> Sequence[Execution]:
        found: list[Execution] = []
        while True:
            page, total = await self._executions.page(
                statuses=tuple(ExecutionStatus),
                strategy_id=strategy_id,
                limit=_PAGE,
                offset=len(found),
            )
            found += page
            if not page or len(found) >= total:
                return found
