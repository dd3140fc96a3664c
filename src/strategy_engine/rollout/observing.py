"""What a rollout's controller sees: its executions, their ledgers, and how the candidate does."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from strategy_engine.core.clock import Clock
from strategy_engine.execution import history as histories
from strategy_engine.execution import interruptions
from strategy_engine.execution import rules as execution_rules
from strategy_engine.execution.model import Execution, Role
from strategy_engine.execution.service import Executions
from strategy_engine.market.service import Catalogue
from strategy_engine.pipeline.model import StageResult
from strategy_engine.registry.service import Registry
from strategy_engine.rollout import analysis, moves, readiness
from strategy_engine.rollout.analysis import Difference
from strategy_engine.rollout.model import Deployment
from strategy_engine.rollout.moves import Member
from strategy_engine.rollout.parity import Compared
from strategy_engine.rollout.readiness import Readiness
from strategy_engine.rollout.rules import Observation
from strategy_engine.venue.model import DenialCode
from strategy_engine.venue.service import Records

# Refusals that say what an execution is for, not what its strategy does wrong.
NO_FAULT = frozenset(
    {
        DenialCode.SHADOW,
        DenialCode.REPLACED,
        DenialCode.NOT_RUNNING,
        DenialCode.HALTED,
        DenialCode.REDUCING,
        DenialCode.STALE_EPOCH,
        DenialCode.KILLED,
        DenialCode.SELF_MATCH,
        DenialCode.TRADING_HOURS,
        DenialCode.VETOED,
    }
)
MOST_HELD_UP = 3  # looks in a row at which nothing could be compared; then nothing is known
LATE_BARS = 3  # so many bars' time without one is not yet silence
_BEHIND_BARS = 2


class Comparing(Protocol):
    """Shows fresh processes what candidates were shown."""

    async def look(self, execution: Execution) -> Compared:
        """Return what is known by now, and let more be compared until the next look."""
        ...

    async def forget(self, execution_id: str) -> None:
        """End the process of a candidate."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    bars: int
    since_s: float
    reference_bars: int


class Observer:
    """Reads; nothing here writes. What it remembers is only when it last heard of whom."""

    def __init__(  # noqa: PLR0913 - what a room is wired with, each a thing of its own
        self,
        *,
        executions: Executions,
        records: Records,
        registry: Registry,
        catalogue: Catalogue,
        results: Callable[[str], Awaitable[Sequence[StageResult]]],
        comparing: Comparing,
        clock: Clock,
        replay_speed: float = 1.0,
    ) -> None:
        self._executions = executions
        self._records = records
        self._registry = registry
        self._catalogue = catalogue
        self._results = results
        self._comparing = comparing
        self._clock = clock
        self._replay_speed = replay_speed
        self._heard: dict[str, _Heard] = {}
        self._years: dict[str, float] = {}
        self._rates: dict[str, float | None] = {}

    async def members(self, execution_ids: Iterable[str]) -> dict[str, Member]:
        """Return executions with their ledgers, by id, oldest first."""
        wanted = [each for each in execution_ids if each]
        found = await self._executions.get_many(wanted)
        names = [each.execution_id for each in found]
        accounts = await self._records.accounts(names)
        held = await self._records.holdings(names)
        return {
            each.execution_id: Member(
                execution=each,
                account=accounts.get(each.execution_id),
                held=frozenset(held[each.execution_id]),
            )
            for each in found
        }

    async def compared(self, candidate: Member) -> Compared:
        """Say how the candidate's decisions compare with those of a fresh process."""
        return await self._comparing.look(candidate.execution)

    async def readiness(self, candidate: Member, compared: Compared) -> Readiness:
        """Say whether the candidate may be given capital; it reads its whole ledger."""
        name = candidate.execution.execution_id
        findings: Sequence[str] | None = None
        if candidate.account is not None:
            findings = (await self._records.reconcile(name)).findings
        observed = readiness.Observed(
            status=candidate.execution.status,
            failure=candidate.failure,
            compared=compared,
            ledger_findings=findings,
            denials=await self._records.denial_counts(name),
        )
        return readiness.judge(observed)

    async def observation(
        self,
        deployment: Deployment,
        candidate: Member,
        beside: Member | None,
        compared: Compared,
    ) -> Observation:
        """Return what is known of a candidate at its step.

        Parameters
        ----------
        beside : Member or None
            Its baseline, or else the version before it, that plays the same bars.
        """
        name, progress = candidate.execution.execution_id, deployment.progress
        orders, rejects = await self._orders(name)
        crashes = [
            each.cause
            for each in await self._executions.interruptions(name)
            if each.kind == interruptions.CRASH  # the others are nobody's, or the engine's
        ]
        reached_at = progress.reached_at or self._clock.now()
        metrics = candidate.execution.performance_metrics
        account = candidate.account
        is_stale = compared.held_up > MOST_HELD_UP
        return Observation(
            elapsed_s=(self._clock.now() - reached_at).total_seconds(),
            decisions=candidate.bars - progress.bars_at if progress.reached_at else 0,
            failure=candidate.failure,
            risk=candidate.risk,
            is_mute=candidate.is_mute or moves.is_told_mute(crashes[-1] if crashes else ""),
            restarts=len(crashes),
            last_restart=crashes[-1] if crashes else "",
            silence_s=self._silence_s(candidate, beside),
            orders=orders,
            rejects=rejects,
            compared=None if is_stale else compared.compared,
            mismatches=None if is_stale else compared.mismatches + compared.wrong_bars,
            decision_ms=float(metrics.get("decision_cpu_ms", 0.0)),
            slippage_bps=None if account is None else account.slippage_bps,
            order_ratio=await self._order_ratio(deployment, candidate, orders),
            exposure=_exposure(candidate),
            loss=_loss(candidate),
            difference=await self._difference(candidate, beside, progress.seen_from_ns),
        )

    async def forget(self, execution_id: str) -> None:
        """Remember no more of a candidate whose rollout has ended."""
        self._heard.pop(execution_id, None)
        self._years.pop(execution_id, None)
        await self._comparing.forget(execution_id)

    async def _orders(self, execution_id: str) -> tuple[int, int]:
        denied = await self._records.denial_counts(execution_id)
        excused = sum(count for code, count in denied.items() if code in NO_FAULT)
        _, total = await self._records.orders_page(execution_id, limit=1)
        return total - excused, sum(denied.values()) - excused

    async def _order_ratio(
        self, deployment: Deployment, candidate: Member, orders: int
    ) -> float | None:
        """Return its orders a bar against its own backtest's fills a bar; None without one."""
        expected = await self._expected(deployment.pipeline_id)
        if expected is None or not candidate.bars:
            return None
        return orders / candidate.bars / expected

    async def _expected(self, pipeline_id: str) -> float | None:
        if pipeline_id not in self._rates:
            results = await self._results(pipeline_id)
            found = next((each.evidence for each in results if each.stage == "backtest"), {})
            fills, bars = found.get("fill_count"), found.get("history", {}).get("bars")
            self._rates[pipeline_id] = fills / bars if fills and bars else None
        return self._rates[pipeline_id]

    def _silence_s(self, candidate: Member, beside: Member | None) -> float:
        name, now_s = candidate.execution.execution_id, self._clock.monotonic_s()
        reference = 0 if beside is None else beside.bars
        heard = self._heard.get(name)
        if heard is None or heard.bars != candidate.bars:
            self._heard[name] = _Heard(bars=candidate.bars, since_s=now_s, reference_bars=reference)
            return 0.0
        silent_s = now_s - heard.since_s
        if beside is not None and reference - heard.reference_bars < _BEHIND_BARS:
            return 0.0  # nobody is shown anything
        return max(0.0, silent_s - LATE_BARS * self._bar_s(candidate.execution))

    def _bar_s(self, execution: Execution) -> float:
        config = execution.config
        if config.feed == execution_rules.BUS:
            return 0.0  # what stands beside it hears the same
        speed = self._replay_speed if config.speed is None else config.speed
        return 1.0 / speed if speed else 0.0

    async def _difference(
        self, candidate: Member, beside: Member | None, after_ns: int
    ) -> Difference | None:
        if beside is None or beside.execution.role is not Role.BASELINE:
            return None
        of = candidate.execution.execution_id
        times, returns = await self._records.returns(of, after_ns)
        name = beside.execution.execution_id
        other_times, other_returns = await self._records.returns(name, after_ns)
        _, mine, others = np.intersect1d(times, other_times, return_indices=True)
        paired = analysis.begun(returns[mine], other_returns[others])
        own, its = returns[mine][paired], other_returns[others][paired]
        if not analysis.tells(own, its):
            return None
        return analysis.difference(
            own,
            its,
            periods_per_year=await self._bars_a_year(candidate.execution),
        )

    async def _bars_a_year(self, execution: Execution) -> float:
        name = execution.execution_id
        if name not in self._years:
            content = (await self._registry.get(execution.strategy_id)).content
            settings = execution_rules.settings_of(content, execution.config)
            series = await asyncio.to_thread(
                histories.load,
                self._catalogue,
                settings.symbols,
                settings.timeframe,
                execution.config.end_ns,
            )
            begun = histories.begin(series, execution.config, 0)
            self._years[name] = begun.instants_per_year()
        return self._years[name]


def _exposure(candidate: Member) -> float | None:
    account = candidate.account
    if account is None or account.equity <= 0:
        return None if account is None or account.equity < 0 else 0.0
    return float(abs(account.equity - account.cash) / account.equity)


def _loss(candidate: Member) -> float:
    lost = candidate.contributed - candidate.equity
    if lost <= 0:
        return 0.0
    return float(lost / candidate.contributed) if candidate.contributed > 0 else float("inf")
