"""A line in memory: rows that are changed as control changes them, and a node that moves cash."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from strategy_engine.execution.model import (
    UNENDED,
    Change,
    Closing,
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.registry.model import Content, Status, Strategy
from strategy_engine.rollout.lines import REAL, Line, Member
from strategy_engine.venue.accounts import AccountNow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR_NS = 3_600_000_000_000
D = Decimal


@dataclass
class World:
    """Executions by id; `locked` is what a position of one ties, of its equity."""

    rows: dict[str, Execution] = field(default_factory=dict)
    accounts: dict[str, AccountNow] = field(default_factory=dict)
    locked: dict[str, Decimal] = field(default_factory=dict)

    def add(self, name, version="1.0.0", role=Role.STABLE, capital="100000", bars=0, **fields):
        self.rows[name] = Execution(
            execution_id=name,
            strategy_id=f"strat_{version}",
            role=role,
            status=ExecutionStatus.RUNNING,
            desired=Desired.RUN,
            config=ExecutionConfig(),
            capital=D(capital),
            created_at=NOW,
            updated_at=NOW,
            **fields,
        )
        self.accounts[name] = AccountNow(
            execution_id=name,
            contributed=D(capital),
            equity=D(capital),
            cash=D(capital),
            free=D(capital),
            is_flat=True,
            close_ns=bars * HOUR_NS,
            bar_no=bars,
            entry_no=bars,
            fill_count=0,
            order_count=0,
            denied_count=0,
            slippage_bps=None,
            waiting_entries=0,
        )
        return self.rows[name]

    def line(self) -> Line:
        known = [
            Member(
                execution=each,
                version=each.strategy_id.removeprefix("strat_"),
                account=self.accounts[name],
            )
            for name, each in self.rows.items()
        ]
        members = [each for each in known if each.execution.status in UNENDED]
        ended = [each for each in known if each.execution.status not in UNENDED]
        versions = dict.fromkeys(each.strategy_id for each in self.rows.values())
        return Line(
            strategy_name="Line",
            versions=tuple(
                Strategy(
                    strategy_id=each,
                    content=Content(
                        strategy_name="Line", version=each.removeprefix("strat_"), code="pass"
                    ),
                    status=Status.RUNNING,
                    created_at=NOW,
                    updated_at=NOW,
                )
                for each in versions
            ),
            executions=tuple(self.rows.values()),
            members=tuple(each for each in members if each.execution.role in REAL),
            shadows=tuple(each for each in members if each.execution.role is Role.SHADOW),
            tied=tuple(
                each
                for each in ended
                if each.execution.role in REAL
                and (self.locked.get(each.execution_id) or each.execution.is_closing)
            ),
        )

    def unready(self) -> dict[str, str]:
        """Say who in shadow has not decided enough."""
        return {
            each.execution_id: f"{each.account.bar_no} of 20 bars"
            for each in self.line().shadows
            if each.account.bar_no < 20
        }

    def take(self, changes: dict[str, Change]) -> None:
        """Write what control asks for."""
        for name, change in changes.items():
            self.rows[name] = replace(self.rows[name], **change.given())

    def call_in(self, execution_ids: Iterable[str]) -> None:
        """Write that what ended executions hold is to be closed."""
        for name in execution_ids:
            self.rows[name] = replace(self.rows[name], closing=Closing.CALLED_IN)

    def bars(self, count: int, **gains: str) -> None:
        """Let everyone come so many bars on, and earn what is said."""
        for name, account in self.accounts.items():
            gain = D(gains.get(name, "0"))
            self.accounts[name] = replace(
                account,
                equity=account.equity + gain,
                bar_no=account.bar_no + count,
                close_ns=account.close_ns + count * HOUR_NS,
            )

    def node(self) -> None:
        """Do what is wanted, as far as it can be done."""
        for name in self.rows:
            self._flow(name)
            self._end(name)
            self._close(name)

    def _flow(self, name: str) -> None:
        row, account = self.rows[name], self.accounts[name]
        if row.capital_target is None or row.status is not ExecutionStatus.RUNNING:
            return
        flow = row.capital_target - account.contributed
        free = max(D(0), account.equity - self.locked.get(name, D(0)))
        flow = max(flow, -free)
        self.accounts[name] = replace(
            account, contributed=account.contributed + flow, equity=account.equity + flow
        )
        self.rows[name] = replace(row, capital=account.contributed + flow)

    def _end(self, name: str) -> None:
        row, account = self.rows[name], self.accounts[name]
        if row.desired is Desired.DRAIN and not self.locked.get(name):
            self.rows[name] = replace(
                row,
                status=ExecutionStatus.STOPPED,
                end_reason="drained",
                final_pnl=account.equity - account.contributed,
            )

    def _close(self, name: str) -> None:
        row, account = self.rows[name], self.accounts[name]
        if row.is_closing:
            self.locked.pop(name, None)
            pnl = account.equity - account.contributed
            self.rows[name] = replace(row, closing=Closing.SETTLED, final_pnl=pnl)

    def stop(self, name: str) -> None:
        """Let a person stop it, whatever it holds."""
        account = self.accounts[name]
        self.rows[name] = replace(
            self.rows[name],
            status=ExecutionStatus.STOPPED,
            end_reason="stopped",
            final_pnl=account.equity - account.contributed,
        )

    def fail(self, name: str, error: str = "boom") -> None:
        account = self.accounts[name]
        self.rows[name] = replace(
            self.rows[name],
            status=ExecutionStatus.ERROR,
            error=error,
            final_pnl=account.equity - account.contributed,
        )

    def real_contributed(self) -> Decimal:
        """Return what all that are alive have been given."""
        return sum((each.contributed for each in self.line().members), D(0))


@pytest.fixture
def line_world() -> World:
    return World()
