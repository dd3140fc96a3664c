"""What stands around a rollout's controller in memory: executions' rows, their ledgers, parity."""

from collections.abc import Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import sqlalchemy as sa
from world_node import Trading

from strategy_engine.core import ids, money
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import ConflictError, NotFoundError
from strategy_engine.execution.interruptions import Interruption
from strategy_engine.execution.model import (
    UNENDED,
    Change,
    Closing,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
    Switch,
)
from strategy_engine.execution.stops import Stop
from strategy_engine.infra import database, outbox
from strategy_engine.registry.model import Status, Trigger
from strategy_engine.registry.service import Registry
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.lines import REAL
from strategy_engine.rollout.observing import MOST_HELD_UP
from strategy_engine.rollout.parity import Compared
from strategy_engine.venue import returns
from strategy_engine.venue.accounts import AccountNow

_TABLES = ("strategies", "deployments", "audit", outbox.CONTROL.name)

type Tick = Callable[[str], None]  # may raise: the process dies there


class _Connection:
    """A synchronous connection under the name of an asynchronous one: no thread to wait for."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection, self.dialect = connection, connection.dialect

    async def execute(self, statement, parameters=None):
        return self._connection.execute(statement, parameters)

    async def scalar(self, statement, parameters=None):
        return self._connection.scalar(statement, parameters)


class MemoryDatabase:
    """The control database in memory, for one task: real SQL and real transactions."""

    def __init__(self) -> None:
        self.write_count = 0
        self._engine = database.sync_engine("sqlite://")
        database.control.create_all(
            self._engine, tables=[database.control.tables[each] for each in _TABLES]
        )

    @asynccontextmanager
    async def read(self):
        with database.reading(self._engine) as connection:
            yield _Connection(connection)

    @asynccontextmanager
    async def write(self, *, in_turn: bool = True):
        self.write_count += 1
        with self._engine.begin() as connection:
            yield _Connection(connection)

    def close(self) -> None:
        self._engine.dispose()


class CrashingRegistry(Registry):
    """The real one, between whose calls a process may die."""

    def __init__(self, opened: MemoryDatabase, clock: Clock, tick: Tick) -> None:
        super().__init__(opened, clock)
        self._tick = tick

    async def move(self, strategy_id, trigger, *, actor, why=""):
        self._tick(f"before {trigger}")
        moved = await super().move(strategy_id, trigger, actor=actor, why=why)
        self._tick(f"after {trigger}")
        return moved


class CrashingJournal(Journal):
    """The real one, between whose calls a process may die."""

    def __init__(self, opened, registry, clock, tick: Tick) -> None:
        super().__init__(opened, registry, clock, node_id="node-1")
        self._tick = tick

    async def revise(self, pipeline_id, change, **given):
        self._tick("before revise")
        revised = await super().revise(pipeline_id, change, **given)
        self._tick("after revise")
        return revised


class FakeExecutions:
    """Rows in memory; control's side of them, as `execution.service.Executions` has it."""

    def __init__(self, registry: Registry, clock: Clock, tick: Tick, begin) -> None:
        self.rows: dict[str, Execution] = {}
        self.switches: dict[str, Switch] = {}
        self.gaps: dict[str, list[Interruption]] = {}
        self.changed: Callable[[Execution, Execution | None], None] = lambda row, before: None
        self.stop: Stop | None = None  # an emergency stop in force
        self._registry, self._clock, self._tick, self._begin = registry, clock, tick, begin

    def put(self, row: Execution) -> None:
        before = self.rows.get(row.execution_id)
        self.rows[row.execution_id] = row
        self.changed(row, before)

    def want(self, name: str, change: Change) -> Execution:
        """Want something else of an execution; what has ended stays as it is."""
        row = self.rows[name]
        if row.status in UNENDED and any(
            getattr(row, field) != value for field, value in change.given().items()
        ):
            self.put(replace(row, **change.given()))
        return self.rows[name]

    async def stopped(self, strategy_id: str, execution_ids: Collection[str]) -> Stop | None:
        del strategy_id, execution_ids
        return self.stop

    async def start(
        self,
        strategy_id: str,
        config: ExecutionConfig,
        *,
        actor: str,
        role: Role = Role.STABLE,
        key: str | None = None,
    ) -> Execution:
        self._tick("before start")
        name = ids.new_id(ids.EXECUTION) if key is None else ids.derived(ids.EXECUTION, key)
        if name not in self.rows:
            await self._start(name, strategy_id, config, role)
        self._tick("after start")
        return self.rows[name]

    async def _start(self, name, strategy_id, config, role) -> None:
        strategy = await self._registry.get(strategy_id)
        if role is Role.STABLE:
            for each in self.rows.values():
                is_other = each.strategy_id != strategy_id and each.role in REAL
                if is_other and each.status in UNENDED:
                    raise ConflictError("a line trades one account")
        if strategy.status is not Status.RUNNING:
            await Registry.move(self._registry, strategy_id, Trigger.START, actor="engine")
        now = self._clock.now()
        row = Execution(
            execution_id=name,
            strategy_id=strategy_id,
            role=role,
            status=ExecutionStatus.STARTING,
            desired=Desired.RUN,
            config=config,
            capital=money.to_decimal(money.to_nanos(config.capital)),
            created_at=now,
            updated_at=now,
        )
        self._begin(row)
        self.put(row)

    async def get(self, execution_id: str) -> Execution:
        self._tick("get")
        return self._known(execution_id)

    async def get_many(self, execution_ids) -> list[Execution]:
        self._tick("get_many")
        found = [self.rows[each] for each in execution_ids if each in self.rows]
        return sorted(found, key=lambda each: (each.created_at, each.execution_id))

    async def interruptions(self, execution_id: str) -> list[Interruption]:
        self._tick("interruptions")
        return self.gaps.get(execution_id, [])

    async def unended_of(self, strategy_id: str) -> list[Execution]:
        return [
            each
            for each in self.rows.values()
            if each.strategy_id == strategy_id and each.status in UNENDED
        ]

    async def instruct(self, changes: Mapping[str, Change], *, actor: str, why: str) -> None:
        self._tick("before instruct")
        for name in changes:
            self._known(name)
        for name, change in changes.items():
            self.want(name, change)
        self._tick("after instruct")

    async def call_in(self, execution_ids, *, actor: str, why: str) -> None:
        self._tick("before call_in")
        for name in execution_ids:
            row = self._known(name)
            if row.status not in UNENDED and row.closing is not Closing.SETTLED:
                self.put(replace(row, closing=Closing.CALLED_IN))
        self._tick("after call_in")

    async def switch(self, asked: Switch, *, actor: str, why: str) -> None:
        self._tick("before switch")
        for name in asked.execution_ids:
            self._known(name)
        self.switches.setdefault(asked.key, asked)
        self._tick("after switch")

    async def switched(self, key: str) -> Switch | None:
        self._tick("switched")
        return self.switches.get(key)

    async def take_back_switch(self, key: str) -> Switch | None:
        self._tick("before take_back")
        found = self.switches.get(key)
        if found is not None and found.done_at is None:
            del self.switches[key]
        self._tick("after take_back")
        return self.switches.get(key)

    def _known(self, name: str) -> Execution:
        if name not in self.rows:
            raise NotFoundError(f"there is no execution {name}")
        return self.rows[name]


class FakeRecords:
    """What the ledgers have, read from the venues."""

    def __init__(self, tradings: Mapping[str, Trading], tick: Tick) -> None:
        self._tradings, self._tick = tradings, tick

    async def accounts(self, execution_ids) -> dict[str, AccountNow]:
        self._tick("accounts")
        return {
            each: _account(each, self._tradings[each])
            for each in execution_ids
            if each in self._tradings
        }

    async def holdings(self, execution_ids) -> dict[str, dict[str, int]]:
        return {
            each: {symbol: lots for symbol, lots in self._tradings[each].lots.items() if lots}
            for each in execution_ids
        }

    async def denial_counts(self, execution_id: str) -> dict[str, int]:
        return dict(self._tradings[execution_id].denials)

    async def reconcile(self, execution_id: str) -> SimpleNamespace:
        lots, cash = self._tradings[execution_id].from_fills()
        adds_up = (lots, cash) == self._tradings[execution_id].books
        return SimpleNamespace(findings=() if adds_up else ("fills and books differ",))

    async def orders_page(self, execution_id: str, *, limit: int) -> tuple[list, int]:
        return [], self._tradings[execution_id].orders

    async def returns(self, execution_id: str, after_ns: int):
        closes, simple = returns.between(self._tradings[execution_id].instants)
        later = closes > after_ns
        return closes[later], simple[later]


def _account(name: str, trading: Trading) -> AccountNow:
    account = trading.venue.account
    books = account.books.values()
    return AccountNow(
        execution_id=name,
        contributed=money.to_decimal(trading.contributed_nanos),
        equity=money.to_decimal(account.equity()),
        cash=money.to_decimal(account.cash),
        free=money.to_decimal(max(0, account.unpledged())),
        is_flat=trading.is_flat,
        close_ns=trading.place_ns,
        bar_no=trading.bar_no,
        entry_no=trading.entry_no,
        fill_count=len(trading.fills),
        order_count=trading.orders,
        denied_count=sum(trading.denials.values()),
        slippage_bps=0.0,
        waiting_entries=sum(order.opens for book in books for order in book.pending),
    )


class FakeComparing:
    """Parity as the scripts have it: every decision is compared, from one on none is the code's."""

    def __init__(
        self, tradings: Mapping[str, Trading], tick: Tick, unmeasured: Collection[str]
    ) -> None:
        self._tradings, self._tick, self._unmeasured = tradings, tick, unmeasured
        self.forgotten: list[str] = []

    async def look(self, execution: Execution) -> Compared:
        self._tick("look")
        trading = self._tradings[execution.execution_id]
        since = trading.script.mismatches_at
        wrong = 0 if since is None else max(0, trading.decisions - since)
        return Compared(
            compared=trading.decisions,
            mismatches=wrong,
            first_mismatch="bar 1",
            held_up=MOST_HELD_UP + 1 if execution.execution_id in self._unmeasured else 0,
        )

    async def forget(self, execution_id: str) -> None:
        self._tick("forget")
        self.forgotten.append(execution_id)
