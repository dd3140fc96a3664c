"""What a world keeps beside its executions, and what must hold of them after every event."""

from collections import defaultdict

from world_fakes import FakeExecutions
from world_node import BAR_NS, SYMBOLS, Trading

from strategy_engine.core import money
from strategy_engine.execution import engagement
from strategy_engine.execution.model import UNENDED, Desired, Execution, Exits, Role
from strategy_engine.registry.model import Status
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import stakes
from strategy_engine.rollout.lines import REAL
from strategy_engine.rollout.model import Deployment
from strategy_engine.rollout.observing import Observer

NANO = 1


class Books:
    """The line's bank, that knows only what flowed, and who served which bar."""

    executions: FakeExecutions
    registry: Registry
    onlooker: Observer

    def __init__(self) -> None:
        self.tradings: dict[str, Trading] = {}
        self.served: dict[tuple[str, int], list[str]] = defaultdict(list)
        self.is_excused = False  # somebody who served has failed or was stopped
        self.is_exclusive = True  # no canary has shared an instrument
        self.bank_nanos = self.capital_nanos = 0
        self.warm: set[str] = set()  # what may stay beside the stable version
        self.fresh: set[str] = set()  # real since a moment, and have not heard of it yet

    @property
    def rows(self) -> dict[str, Execution]:
        return self.executions.rows

    @property
    def alive(self) -> list[Execution]:
        return [each for each in self.rows.values() if each.status in UNENDED]

    @property
    def looked_after(self) -> list[Execution]:
        """Those that the node plays: what has ended and is being closed, too."""
        return [each for each in self.rows.values() if each.status in UNENDED or each.is_closing]

    @property
    def stables(self) -> list[Execution]:
        return [each for each in self.alive if each.role is Role.STABLE]

    # -- what flows

    def moved(self, row: Execution, before: Execution | None) -> None:
        """Keep the bank: the cash of the line that no execution has."""
        equity = self.tradings[row.execution_id].venue.account.equity()
        was_real, is_real = before is not None and _has_money(before), _has_money(row)
        if before is not None and before.role in REAL and before.is_closing:
            was_real, is_real = True, row.is_closing  # what it held is locked until it is closed
        trading = self.tradings[row.execution_id]
        if not trading.is_flat:
            is_real = is_real or (was_real and row.status not in UNENDED)  # what it holds is locked
        if was_real != is_real:
            self.bank_nanos += equity if was_real else -equity
        if is_real and before is not None and before.role is Role.SHADOW:
            self.fresh.add(row.execution_id)

    def flowed(self, name: str, amount_nanos: int) -> None:
        if _has_money(self.rows[name]):
            self.bank_nanos -= amount_nanos

    # -- what must hold

    def check(self) -> None:
        """Check all that holds after every event."""
        self._check_ledgers()
        self._check_shadows()
        self._check_bank()
        if self.is_exclusive:
            self._check_service()

    def _check_ledgers(self) -> None:
        for name, trading in self.tradings.items():
            assert trading.from_fills() == trading.books, name

    def _check_shadows(self) -> None:
        for row in self.alive:
            trading = self.tradings[row.execution_id]
            if row.role is Role.SHADOW:
                assert trading.is_flat, row.execution_id
                books = trading.venue.account.books.values()
                assert not any(book.pending for book in books), row.execution_id

    def _check_bank(self) -> None:
        promised = 0
        for name in self.fresh:  # a notional capital leaves before anything is decided with it
            target = self.rows[name].capital_target
            nanos = self.tradings[name].contributed_nanos
            promised += 0 if target is None else max(0, nanos - money.to_nanos(target))
        assert self.bank_nanos + promised >= -NANO, (self.bank_nanos, promised)

    def _check_service(self) -> None:
        for (symbol, close_ns), names in self.served.items():
            assert len(names) <= 1, (symbol, close_ns, names)
        if self.is_excused or not self.served:
            return
        places = [self._done_until(each) for each in self.alive]
        begun = min(close_ns for _, close_ns in self.served)
        for close_ns in range(begun, min(places, default=0) + 1, BAR_NS):
            for symbol in SYMBOLS:
                assert (symbol, close_ns) in self.served, (symbol, close_ns)

    def _done_until(self, row: Execution) -> int:
        trading = self.tradings[row.execution_id]
        return trading.next // len(SYMBOLS) * BAR_NS

    async def check_books(self, deployment: Deployment | None) -> None:
        """See that the controller's arithmetic of the line is what really flowed."""
        if deployment is None:
            return
        progress = deployment.progress
        names = [*deployment.replaces, progress.candidate, progress.baseline]
        if any(_has_money(each) and each.execution_id not in names for each in self.alive):
            return  # the one before has been started again: all that there was is its
        members = await self.onlooker.members(names)
        pool = stakes.account_of(deployment, members.values()).pool
        assert abs(money.to_nanos(pool) - self.bank_nanos) <= NANO, (pool, self.bank_nanos)

    async def left_over(self) -> list[str]:
        """Return what should not be there once a rollout is over and all have obeyed."""
        found = [each.execution_id for each in self.alive if not self._may_be(each)]
        for name, trading in self.tradings.items():
            if self.rows[name].status not in UNENDED and not trading.is_flat:
                found.append(f"{name} ended with {trading.lots}")
        if abs(self.bank_nanos) > NANO:
            found.append(f"{self.bank_nanos} in the pool")
        if len(self.stables) != 1:
            found.append(f"{len(self.stables)} stable versions")
        for row in self.stables:
            found += await self._unlike_before(row)
        return found

    async def _unlike_before(self, row: Execution) -> list[str]:
        tenure = engagement.serving(row.role, row.serves)
        found = [f"{each} is not served" for each in SYMBOLS if tenure.of(each).until_ns]
        if row.exits is not Exits.OWN or row.desired is not Desired.RUN:
            found.append(f"{row.execution_id} {row.exits} {row.desired}")
        if row.capital_target not in {None, row.capital}:
            found.append(f"{row.execution_id} has {row.capital}, wants {row.capital_target}")
        version = await self.registry.get(row.strategy_id)
        if version.status is not Status.RUNNING:
            found.append(f"{version.strategy_id} is {version.status}")
        return found

    def _may_be(self, row: Execution) -> bool:
        return row.role is Role.STABLE or row.execution_id in self.warm

    @property
    def profit_nanos(self) -> int:
        """Return what the line has won, by fills and marks alone."""
        return sum(
            trading.venue.account.equity() - trading.contributed_nanos
            for trading in self.tradings.values()
        )


def _has_money(row: Execution) -> bool:
    return row.role in REAL and row.status in UNENDED
