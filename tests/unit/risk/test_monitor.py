"""The monitor acts once for each breach, in memory, whatever its databases do."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import InvalidError
from strategy_engine.execution.model import Role
from strategy_engine.execution.watch import Figures
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.risk import members, references, rules
from strategy_engine.risk.breaches import Breach, Changes
from strategy_engine.risk.members import Group, Member, Read
from strategy_engine.risk.model import Action, Deed, Done
from strategy_engine.risk.monitor import Monitor
from strategy_engine.venue.limits import Scope

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def member(name: str, pnl: int, line: str = "RSI", role: Role = Role.STABLE) -> Member:
    figures = Figures(
        equity=Decimal(10_000 + pnl),
        contributed=Decimal(10_000),
        day_pnl=Decimal(pnl),
        at_ns=1,
        holdings={},
    )
    reference = references.come_to(
        references.begin(Decimal(0)), Decimal(pnl), day=0, day_pnl=Decimal(pnl)
    )
    return Member(
        execution_id=name,
        strategy_id=f"strat_{name}",
        line=line,
        account=line,
        role=role,
        figures=figures,
        reference=reference,
        read=Read(),
    )


@dataclass
class Eyes:
    """What is seen is what a test says."""

    clock: SteppedClock
    seen: list[Member] = field(default_factory=list)
    own: dict[str, Any] = field(default_factory=dict)
    shared: dict[tuple[Scope, str], Any] = field(default_factory=dict)
    knowledge: Any = None

    def asked(self) -> list[Any]:
        return []

    def has_unknown(self) -> bool:
        return False

    def members(self, filled: set[str] | None = None) -> list[Member]:
        return [each for each in self.seen if filled is None or each.execution_id in filled]

    def group(self, key: tuple[Scope, str], found: list[Member]) -> Group:
        reference = members.group_reference(None, found, Decimal(0))
        return Group(scope=key[0], subject=key[1], members=tuple(found), reference=reference)

    def bounds(self, found: Member) -> rules.Bounds:
        return rules.bounds_of([((Scope.EXECUTION, found.execution_id), self.own)])

    def group_bounds(self, key: tuple[Scope, str]) -> rules.Bounds:
        return rules.bounds_of([(key, self.shared[key])]) if key in self.shared else {}


@dataclass
class Hand:
    """Keeps what it is asked to do."""

    done: list[Deed] = field(default_factory=list)
    error: Exception | None = None

    def act(self, deed: Deed) -> Done:
        self.done.append(deed)
        if self.error is not None:
            raise self.error
        return Done(deed_id=deed.deed_id, executions=(), cancelled=0, open=(), took_s=0.0)

    @property
    def acts(self) -> list[tuple[Action, str]]:
        return [(each.action, each.subject) for each in self.done]


@dataclass
class Reports:
    """Keeps what it is told."""

    told: list[Changes] = field(default_factory=list)
    waiting: int = 0

    def tell(self, changes: Changes) -> None:
        self.told.append(changes)


@dataclass
class World:
    eyes: Eyes
    hand: Hand
    reports: Reports
    monitor: Monitor

    def look(self, *seen: Member, filled: set[str] | None = None) -> None:
        self.eyes.seen = list(seen)
        self.monitor.look(filled)


class Away:
    """A database that is away, and what is known through it."""

    async def refresh(self, asked: Any) -> None:
        del asked
        raise DatabaseAwayError("it is locked")


async def world(lasting: Mapping[Any, Breach] | None = None) -> World:
    eyes, hand, reports = Eyes(clock=SteppedClock(NOW)), Hand(), Reports()
    monitor = Monitor(eyes, hand, SimpleNamespace(), reports, interval_s=1.0)
    monitor._lasting = dict(lasting or {})
    return World(eyes=eyes, hand=hand, reports=reports, monitor=monitor)


async def test_a_limit_that_is_broken_is_acted_upon_once():
    found = await world()
    found.eyes.own = {"daily_loss_limit": -100}

    found.look(member("exec_1", -150))
    found.look(member("exec_1", -170))

    assert found.hand.acts == [(Action.PAUSE, "exec_1")]
    (deed,) = found.hand.done
    assert (deed.scope, deed.actor, deed.factor) == (Scope.EXECUTION, "risk", None)
    assert "daily_loss_limit of execution exec_1 is -100" in deed.reason
    (told,) = found.reports.told
    assert [each.action for each in told.begun] == [Action.PAUSE]


async def test_after_it_was_over_it_is_acted_upon_again():
    found = await world()
    found.eyes.own = {"daily_loss_limit": -100}

    for pnl in (-150, 0, -150):
        found.look(member("exec_1", pnl))

    assert found.hand.acts == [(Action.PAUSE, "exec_1")] * 2
    first, second = (each.deed_id for each in found.hand.done)
    assert first != second


async def test_a_breach_that_lasts_from_before_a_restart_is_not_acted_upon_again():
    before = await world()
    before.eyes.own = {"daily_loss_limit": -100}
    before.look(member("exec_1", -150))
    (begun,) = before.reports.told[0].begun

    after = await world({begun.key: begun})
    after.eyes.own = before.eyes.own
    after.look(member("exec_1", -150))

    assert after.hand.acts == []


async def test_of_two_limits_the_strictest_is_done_and_both_are_told():
    found = await world()
    found.eyes.own = {"soft_drawdown": -0.01, "max_drawdown": -0.02, "reduce_factor": 0.25}

    found.look(member("exec_1", -500))

    assert found.hand.acts == [(Action.HALT, "exec_1")]
    assert len(found.reports.told[0].begun) == 2


async def test_a_reduction_says_by_how_much():
    found = await world()
    found.eyes.own = {"soft_drawdown": -0.01, "reduce_factor": 0.25}

    found.look(member("exec_1", -500))

    (deed,) = found.hand.done
    assert (deed.action, deed.factor) == (Action.REDUCE, Decimal("0.25"))


async def test_a_line_that_breaks_its_limit_stops_all_of_it_and_who_comes_later():
    found = await world()
    found.eyes.shared = {(Scope.LINE, "RSI"): {"daily_loss_limit": -200}}
    line = [member("exec_1", -150), member("exec_2", -100, role=Role.CANDIDATE)]

    found.look(*line, member("exec_9", 0, line="Other"))
    found.look(*line, member("exec_3", 0))

    assert found.hand.acts == [
        (Action.PAUSE, "exec_1"),
        (Action.PAUSE, "exec_2"),
        (Action.PAUSE, "exec_3"),
    ]


async def test_a_stable_execution_answers_for_its_lines_loss_and_a_candidate_for_its_own():
    found = await world()
    found.eyes.own = {"daily_loss_limit": -200}

    found.look(member("exec_1", -150), member("exec_2", -100, role=Role.CANDIDATE))

    assert found.hand.acts == [(Action.PAUSE, "exec_1")]
    assert "of its line" in found.hand.done[0].reason


async def test_what_only_alerts_is_told_and_not_done():
    found = await world()
    found.eyes.shared = {
        (Scope.ENGINE, ""): {"daily_loss_limit": -1, "actions": {"daily_loss_limit": "alert"}}
    }

    found.look(member("exec_1", -150))

    assert found.hand.acts == []
    assert [each.scope for each in found.reports.told[0].begun] == [Scope.ENGINE]


async def test_after_fills_only_the_lines_that_had_some_are_looked_at():
    found = await world()
    found.eyes.own = {"daily_loss_limit": -100}
    seen = member("exec_1", -150), member("exec_2", -150, line="Other")

    found.look(*seen, filled={"exec_2"})

    assert found.hand.acts == [(Action.PAUSE, "exec_2")]


async def test_until_it_is_known_what_lasts_nothing_is_judged():
    found = await world()
    found.eyes.own = {"daily_loss_limit": -100}
    found.monitor._lasting = None

    found.look(member("exec_1", -150))

    assert found.hand.acts == []


async def test_a_hand_that_refuses_keeps_nobody_from_the_next():
    found = await world()
    found.eyes.own = {"daily_loss_limit": -100}
    found.hand.error = InvalidError("no")

    found.look(member("exec_1", -150), member("exec_2", -150, line="Other"))

    assert found.hand.acts == [(Action.PAUSE, "exec_1"), (Action.PAUSE, "exec_2")]


async def test_a_name_that_nobody_can_print_is_no_reason_to_do_nothing():
    found = await world()
    found.eyes.shared = {(Scope.LINE, "R\nSI"): {"daily_loss_limit": -100}}

    found.look(replace(member("exec_1", -150), line="R\nSI"))

    (deed,) = found.hand.done
    assert deed.reason.isprintable()
    assert len(deed.reason) <= 200


async def test_a_database_that_is_away_does_not_keep_it_from_looking():
    found = await world()
    found.eyes.own = {"daily_loss_limit": -100}
    found.eyes.knowledge = Away()
    monitor = found.monitor
    running = asyncio.create_task(monitor.run())
    found.eyes.seen = [member("exec_1", -150)]

    monitor.on_fills("exec_1")
    async with asyncio.timeout(5):
        while not found.hand.done:  # noqa: ASYNC110 - it says nothing when it has acted
            await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert found.hand.acts == [(Action.PAUSE, "exec_1")]


async def test_a_breach_ends_when_its_limit_is_taken_away():
    found = await world()
    found.eyes.shared = {(Scope.LINE, "RSI"): {"daily_loss_limit": -100}}
    found.look(member("exec_1", -150))

    found.eyes.shared = {}
    found.look(member("exec_1", -150))

    assert [len(each.ended) for each in found.reports.told] == [0, 1]
