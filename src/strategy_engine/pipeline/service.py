"""The shell around the stages: one job, its time limit, its result saved before it is returned."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import EngineError, InvalidError, UnavailableError
from strategy_engine.flags.service import Flags
from strategy_engine.infra import logs, outbox
from strategy_engine.infra.database import Database
from strategy_engine.infra.outages import DatabaseAwayError
from strategy_engine.matching import settings as matching_settings
from strategy_engine.pipeline import (
    curves,
    model,
    outbox_rows,
    stage_clock,
    stages,
    store,
    wording,
)
from strategy_engine.pipeline.criteria import criteria, with_declared
from strategy_engine.pipeline.model import (
    Criteria,
    Finding,
    Job,
    KilledFromOutsideError,
    Level,
    Request,
    StageResult,
    Verdict,
)
from strategy_engine.pipeline.stages import Tools
from strategy_engine.registry.model import Strategy
from strategy_engine.sandbox.launcher import ChildDiedError
from strategy_engine.sandbox.model import NotConfinedError

_log = logs.get("pipeline")
_STAGES = dict(stages.REGISTRY)

# Each stage's part of the pipeline's time; together they are all of it.
_SHARES = {
    model.SYNTAX_CHECK: 0.08,
    model.UNIT_TESTS: 0.22,
    model.BACKTEST: 0.30,
    model.PAPER_TRADING: 0.20,
    model.RISK_VALIDATION: 0.10,
    model.PERFORMANCE_VALIDATION: 0.10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long stages may take, seconds."""

    pipeline_s: float = 300.0

    def of(self, stage: str) -> float:
        """Return a stage's own limit; those of all stages add up to the pipeline's."""
        return self.pipeline_s * _SHARES[stage]


class Pipeline:
    """Runs stages for workflows and doors. One a control process."""

    def __init__(
        self,
        database: Database,
        tools: Tools,
        timeouts: Timeouts,
        clock: Clock,
        flags: Flags | None = None,
    ) -> None:
        self._flags = flags
        self._database = database
        self._tools = tools
        self._timeouts = timeouts
        self._clock = clock

    async def run_stage(
        self, pipeline_id: str | None, strategy: Strategy, stage: str, request: Request
    ) -> StageResult:
        """Run one stage and return what was saved; a finished stage of a pipeline is not run again.

        Parameters
        ----------
        pipeline_id : str or None
            None: a run of its own, outside any pipeline.

        Raises
        ------
        InvalidError
            If there is no such stage, or the request's criteria make no sense. Whatever the
            strategy does wrong is a failed result, not an error.
        """
        _check_request(stage, request)
        wanted = criteria(request.validation_criteria, request.validation_profile)
        if pipeline_id is not None and (done := await self._find(pipeline_id, stage)) is not None:
            return done
        started = self._clock.monotonic_s()
        try:
            job = await self._job(strategy, wanted, request)
            if pipeline_id is not None:
                job = replace(job, key=f"{pipeline_id}/{stage}")
            result = _with_flags(await self._run_twice(stage, job), job)
        except DatabaseAwayError:
            raise  # nothing was found, and nothing could be kept: it is run again
        except (UnavailableError, NotConfinedError) as error:
            result = self._broken(stage, error, started, verdict=Verdict.INCONCLUSIVE)
        except EngineError as error:
            result = self._broken(stage, error, started)
        return await self._save(pipeline_id, strategy, _tidied(result))

    async def results(self, pipeline_id: str) -> list[StageResult]:
        """Return what a pipeline's stages have found so far, in the pipeline's order."""
        async with self._database.read() as connection:
            return await store.of_pipeline(connection, pipeline_id)

    async def latest(self, strategy_id: str, limit: int = 50) -> list[tuple[datetime, StageResult]]:
        """Return a version's last results, newest first, with when they ended."""
        async with self._database.read() as connection:
            return await store.latest(connection, strategy_id, limit=limit)

    async def curve(self, strategy_id: str) -> dict[str, Any] | None:
        """Return the course of a version's last backtest; None if there was none."""
        async with self._database.read() as connection:
            return await curves.latest(connection, strategy_id)

    async def tests_completed(self, since: datetime | None = None) -> int:
        """Return how many stage runs have finished, since a time or ever."""
        async with self._database.read() as connection:
            return await store.count(connection, since)

    async def stage_durations(
        self, bounds_s: Sequence[float] = ()
    ) -> dict[str, tuple[int, float, list[tuple[float, int]]]]:
        """Return, for every stage that ran: runs, seconds in all, and how many took no longer."""
        async with self._database.read() as connection:
            return await store.durations(connection, bounds_s)

    async def stage_failures(self) -> dict[str, int]:
        """Return, for every stage that ran, how many of its runs did not pass."""
        async with self._database.read() as connection:
            return await store.failures(connection)

    async def _run_twice(self, stage: str, job: Job) -> StageResult:
        # Once more where somebody else killed its process: the first time says nothing of the code.
        try:
            return await self._run(stage, job)
        except KilledFromOutsideError as error:
            _log.warning("stage killed from outside", stage=stage, why=error.facts["reason"])
        return await self._run(stage, job)

    async def _run(self, stage: str, job: Job) -> StageResult:
        limit_s = self._timeouts.of(stage)
        try:
            async with stage_clock.limited(limit_s) as limit:
                return await _STAGES[stage](job, self._tools)
        except TimeoutError:
            if not limit.expired():
                raise
            message = (
                f"{stage} was not done after {limit_s:g} s, its part of the pipeline's"
                f" {self._timeouts.pipeline_s:g} s; do less per bar, test on fewer days"
                " (duration_days), or raise STRATEGY_TIMEOUT"
            )
            return _failed(stage, message, duration_ms=limit_s * 1_000)

    async def _job(self, strategy: Strategy, wanted: Criteria, request: Request) -> Job:
        content = strategy.content
        overrides = {"capital": request.initial_capital}
        settings = matching_settings.settings(
            content.parameters, content.risk_limits, overrides, is_native=content.is_native
        )
        async with self._database.read() as connection:
            trials = await store.trials(connection, content.strategy_name, content.digest)
        return Job(
            strategy_id=strategy.strategy_id,
            content=content,
            settings=settings,
            criteria=with_declared(wanted, content.risk_limits),
            duration_days=request.duration_days,
            trials=trials,
            flags={} if self._flags is None else await self._flags.defaults(),
        )

    async def _find(self, pipeline_id: str, stage: str) -> StageResult | None:
        async with self._database.read() as connection:
            return await store.find(connection, pipeline_id, stage)

    async def _save(
        self, pipeline_id: str | None, strategy: Strategy, result: StageResult
    ) -> StageResult:
        now = self._clock.now()
        evidence = dict(result.evidence)
        curve = evidence.pop(curves.KEY, None)
        result = replace(result, evidence=evidence)
        async with self._database.write() as connection:
            if curve is not None:
                await curves.insert(
                    connection,
                    curve,
                    strategy_id=strategy.strategy_id,
                    pipeline_id=pipeline_id,
                    stage=result.stage,
                    finished_at=now,
                )
            await store.insert(
                connection,
                result,
                pipeline_id=pipeline_id,
                strategy_id=strategy.strategy_id,
                digest=strategy.content.digest,
                finished_at=now,
            )
            kept = None
            if pipeline_id is not None:
                kept = await store.find(connection, pipeline_id, result.stage) or result
                event = outbox_rows.completed(pipeline_id, strategy.strategy_id, kept, now)
                await outbox.add(connection, [event], at=now)
        _log.info(
            "stage finished",
            strategy_id=strategy.strategy_id,
            pipeline_id=pipeline_id,
            stage=result.stage,
            verdict=str(result.verdict),
            duration_ms=round(result.duration_ms, 1),
        )
        return kept or result

    def _broken(
        self,
        stage: str,
        error: EngineError,
        started: float,
        *,
        verdict: Verdict = Verdict.FAILED,
    ) -> StageResult:
        elapsed_ms = (self._clock.monotonic_s() - started) * 1_000
        where = str(error.facts.get("where") or "")
        lines = list(error.exit.log_lines) if isinstance(error, ChildDiedError) else []
        return _failed(
            stage, str(error), duration_ms=elapsed_ms, where=where, lines=lines, verdict=verdict
        )


def _check_request(stage: str, request: Request) -> None:
    if stage not in _STAGES:
        raise InvalidError(
            f"there is no stage {stage!r}; the stages are {', '.join(model.STAGES)}",
            field="stage",
            value=stage,
            accepted=list(model.STAGES),
        )
    capital, most = request.initial_capital, matching_settings.MAX_CAPITAL
    if capital is not None and not 1 <= capital <= most:
        raise InvalidError(
            f"initial_capital is {capital!r}; it must be a number from 1 to {most}",
            field="initial_capital",
            value=capital,
            accepted=f"a number from 1 to {most}",
        )
    if request.duration_days is not None and request.duration_days < 1:
        raise InvalidError(
            f"duration_days is {request.duration_days}; it must be at least 1",
            field="duration_days",
            value=request.duration_days,
            accepted="a whole number of days, at least 1",
        )


def _with_flags(result: StageResult, job: Job) -> StageResult:
    if not job.flags or job.content.is_native:
        return result
    told = {"shown": "defaults", "values": dict(job.flags)}
    return replace(result, evidence={**result.evidence, "feature_flags": told})


def _failed(
    stage: str,
    message: str,
    *,
    duration_ms: float,
    where: str = "",
    lines: Sequence[str] = (),
    verdict: Verdict = Verdict.FAILED,
) -> StageResult:
    is_engines_fault = verdict is Verdict.INCONCLUSIVE
    level = Level.WARNING if is_engines_fault else Level.ERROR
    facts: dict[str, object] = {"log": list(lines)} if lines else {}
    return StageResult(
        stage=stage,
        passed=False,
        verdict=verdict,
        duration_ms=duration_ms,
        message=message,
        findings=(Finding(level=level, message=message, where=where),),
        evidence=facts | ({model.ENGINES_FAULT: True} if is_engines_fault else {}),
    )


def _tidied(result: StageResult) -> StageResult:
    # The one place where what a strategy said is made fit to be shown.
    return replace(
        result,
        message=wording.one_line(result.message),
        findings=tuple(
            replace(
                each, message=wording.one_line(each.message), where=wording.one_line(each.where)
            )
            for each in result.findings
        ),
        evidence=wording.tidied(result.evidence),
    )
