"""A line as everybody sees it who moves capital: its versions, its members, their money."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from strategy_engine.core.errors import NotFoundError
from strategy_engine.execution.model import UNENDED, Execution, ExecutionStatus, Role
from strategy_engine.execution.service import Executions
from strategy_engine.market.service import Catalogue
from strategy_engine.registry.model import Strategy
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import capital
from strategy_engine.venue.service import Records

REAL = frozenset({Role.STABLE, Role.CANDIDATE, Role.BASELINE})
_PAGE = 500


class AccountNow(Protocol):
    """What a ledger says of an execution at its last committed entry."""

    @property
    def contributed(self) -> Decimal:
        """What it was opened with and all flows since."""

    @property
    def equity(self) -> Decimal:
        """What it is worth."""

    @property
    def is_flat(self) -> bool:
        """Whether it holds nothing."""

    @property
    def close_ns(self) -> int | None:
        """The close of the last bar that it has come to."""

    @property
    def bar_no(self) -> int:
        """How many bars it has come through."""


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
    def stake(self) -> capital.Stake:
        """Return its money as the arithmetic of a line takes it."""
        return capital.Stake(
            execution_id=self.execution.execution_id,
            contributed=self.contributed,
            equity=self.equity,
            target=self.execution.capital_target,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line at one look. `executions` are all that it ever had, validation apart."""

    strategy_name: str
    versions: tuple[Strategy, ...]
    executions: tuple[Execution, ...]
    members: tuple[Member, ...]
    shadows: tuple[Execution, ...]

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
        return capital.Account(
            capital=contributed,
            stakes=tuple(
                each.stake for each in self.members if each.execution.execution_id in concerned
            ),
            ended_pnl=ended_pnl(self.executions, concerned),
        )


def ended_pnl(executions: Iterable[Execution], concerned: Collection[str]) -> Decimal:
    """Return the profit of those that have ended; a shadow never had any."""
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
        alive = [each for each in found if each.status in UNENDED]
        real = [each for each in alive if each.role in REAL]
        accounts: Accounts = await self._records.accounts([each.execution_id for each in real])
        return Line(
            strategy_name=strategy_name,
            versions=tuple(versions),
            executions=tuple(found),
            members=tuple(
                Member(
                    execution=each,
                    version=numbers[each.strategy_id],
                    account=accounts.get(each.execution_id),
                )
                for each in real
            ),
            shadows=tuple(each for each in alive if each.role is Role.SHADOW),
        )

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
