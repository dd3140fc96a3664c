"""The shell on a real database, with stages whose tools are told what to answer."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import InvalidError, UnavailableError
from strategy_engine.infra import database
from strategy_engine.infra.database import Database
from strategy_engine.pipeline import model, service, stages, store
from strategy_engine.pipeline.model import (
    Finding,
    KilledFromOutsideError,
    Level,
    Request,
    StageResult,
    Verdict,
)
from strategy_engine.registry import store as registry
from strategy_engine.registry.model import Content, Status, Strategy
from strategy_engine.sandbox.model import ConfinementReport, Layer, NotConfinedError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def control(tmp_path, server):
    url = database.control_url(tmp_path, server)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    opened = Database(url)
    yield opened
    await opened.aclose()


def strategy(name="RSI", version="1.0.0", strategy_id="strat_1", **content):
    return Strategy(
        strategy_id=strategy_id,
        content=Content(strategy_name=name, version=version, code="class S: pass", **content),
        status=Status.TESTING,
        created_at=NOW,
        updated_at=NOW,
    )


def result(stage="backtest", **changes):
    base = StageResult(
        stage=stage,
        passed=True,
        verdict=Verdict.PASSED,
        duration_ms=12.5,
        message="fine",
        findings=(Finding(level=Level.NOTE, message="m", where="line 1: x"),),
        evidence={"trade_count": 27, "nested": {"a": [1, None, "x"]}},
    )
    return replace(base, **changes)


@pytest.fixture
def clock():
    return SteppedClock(NOW)


@pytest.fixture
def staged(control, clock, monkeypatch):
    """A pipeline whose stages do what a test says; it counts how often."""
    runs = []

    def build(work, pipeline_s=300.0):
        async def stage(job, tools):
            runs.append(job)
            return await work(job)

        monkeypatch.setattr(service, "_STAGES", dict.fromkeys(model.STAGES, stage))
        tools = stages.Tools(
            children=None,
            catalogue=None,
            run_paper=None,
            running_returns=None,
            clock=clock,
        )
        return service.Pipeline(control, tools, service.Timeouts(pipeline_s=pipeline_s), clock)

    build.runs = runs
    return build


async def passes(job):
    return result()


async def test_a_result_comes_back_as_it_was_saved(staged):
    pipeline = staged(passes)
    found = await pipeline.run_stage("pipe_1", strategy(), "backtest", Request())
    assert found == result()
    assert await pipeline.results("pipe_1") == [result()]


async def test_a_finished_stage_of_a_pipeline_is_not_run_again(staged):
    pipeline = staged(passes)
    first = await pipeline.run_stage("pipe_1", strategy(), "backtest", Request())
    again = await pipeline.run_stage("pipe_1", strategy(), "backtest", Request())
    assert again == first
    assert len(staged.runs) == 1
    assert await pipeline.tests_completed() == 1


async def test_two_runs_of_one_stage_at_once_save_one_result_and_both_return_it(staged):
    numbers = iter([1.0, 2.0])

    async def slow(job):
        await asyncio.sleep(0)
        return result(duration_ms=next(numbers))

    pipeline = staged(slow)
    one, other = await asyncio.gather(
        *(pipeline.run_stage("pipe_1", strategy(), "backtest", Request()) for _ in range(2))
    )
    assert one == other
    assert await pipeline.results("pipe_1") == [one]


async def test_a_test_outside_any_pipeline_is_kept_every_time(staged):
    pipeline = staged(passes)
    for _ in range(3):
        await pipeline.run_stage(None, strategy(), "backtest", Request())
    assert len(staged.runs) == 3
    assert await pipeline.tests_completed() == 3
    assert [each for _, each in await pipeline.latest("strat_1")] == [result()] * 3


async def test_results_stand_in_the_pipeline_s_order(staged, control):
    pipeline = staged(passes)
    async with control.write() as connection:
        for stage in reversed(model.STAGES):
            await store.insert(
                connection,
                result(stage),
                pipeline_id="pipe_1",
                strategy_id="strat_1",
                digest="d",
                finished_at=NOW,
            )
    assert [each.stage for each in await pipeline.results("pipe_1")] == list(model.STAGES)


async def test_a_stage_beyond_its_time_is_a_failed_result_that_says_the_limit(staged):
    async def hangs(job):
        await asyncio.Event().wait()

    pipeline = staged(hangs, pipeline_s=0.05)
    found = await pipeline.run_stage("pipe_1", strategy(), "backtest", Request())
    assert (found.passed, found.verdict) == (False, Verdict.FAILED)
    assert "was not done after 0.015 s" in found.message
    assert "STRATEGY_TIMEOUT" in found.message
    assert await pipeline.results("pipe_1") == [found]


async def test_a_dead_child_is_a_failed_result_with_its_reason_and_its_last_words(staged, make):
    async def dies(job):
        raise make.died("it used 61.0 s of CPU")

    found = await staged(dies).run_stage("pipe_1", strategy(), "backtest", Request())
    assert found.verdict is Verdict.FAILED
    assert found.message == "it used 61.0 s of CPU"
    assert found.evidence["log"] == ["its last words"]


async def test_a_strategy_that_raised_is_a_failed_result_with_its_line(staged):
    async def raises(job):
        raise model.StrategyFailedError("it raised X", where="line 3: x")

    found = await staged(raises).run_stage("pipe_1", strategy(), "backtest", Request())
    assert found.findings == (Finding(level=Level.ERROR, message="it raised X", where="line 3: x"),)


@pytest.mark.parametrize(
    "trouble",
    [
        UnavailableError("no child"),
        NotConfinedError(
            ConfinementReport(layers=(Layer(name="seccomp", is_on=False, why="old kernel"),))
        ),
    ],
    ids=["no child", "no wall"],
)
async def test_a_sandbox_that_cannot_serve_is_no_fault_of_the_strategy(staged, trouble):
    async def cannot(job):
        raise trouble

    found = await staged(cannot).run_stage("pipe_1", strategy(), "backtest", Request())
    assert (found.passed, found.verdict) == (False, Verdict.INCONCLUSIVE)


async def test_a_stage_whose_process_was_killed_from_outside_is_run_once_more(staged):
    ends = iter([KilledFromOutsideError("SIGKILL"), None])

    async def killed_once(job):
        if (error := next(ends)) is not None:
            raise error
        return result()

    found = await staged(killed_once).run_stage("pipe_1", strategy(), "backtest", Request())
    assert found == result()
    assert len(staged.runs) == 2


async def test_a_stage_killed_from_outside_twice_says_nothing_of_the_strategy(staged):
    async def killed(job):
        raise KilledFromOutsideError("it was killed (SIGKILL) from outside the engine")

    pipeline = staged(killed)
    found = await pipeline.run_stage("pipe_1", strategy(), "backtest", Request())
    assert (found.passed, found.verdict) == (False, Verdict.INCONCLUSIVE)
    assert "killed from outside (it was killed (SIGKILL)" in found.message
    assert "lower STRATEGY_WORKERS" in found.message
    assert len(staged.runs) == 2
    assert found.is_engines_fault
    (kept,) = await pipeline.results("pipe_1")
    assert kept.is_engines_fault


async def test_what_a_strategy_fails_of_is_not_the_engine_s_fault(staged, make):
    async def dies(job):
        raise make.died("it used 61.0 s of CPU")

    found = await staged(dies).run_stage("pipe_1", strategy(), "backtest", Request())
    assert not found.is_engines_fault
    assert len(staged.runs) == 1


async def test_what_a_strategy_says_is_kept_on_one_line_that_no_terminal_obeys(staged):
    wild = "it raised X: a\r\nb\x1b[31m red\u202e\tc (line 1)"

    async def says(job):
        finding = Finding(level=Level.ERROR, message=wild, where="line 1:\traise X")
        return result(message=wild, findings=(finding,), evidence={"log": [wild], "n": [1, None]})

    pipeline = staged(says)
    found = await pipeline.run_stage("pipe_1", strategy(), "backtest", Request())
    tame = "it raised X: a | b\ufffd[31m red\ufffd c (line 1)"
    assert found.message == tame
    assert found.findings[0].message == tame
    assert found.findings[0].where == "line 1: raise X"
    assert found.evidence == {"log": [tame], "n": [1, None]}
    assert await pipeline.results("pipe_1") == [found]


async def test_parameters_that_make_no_sense_are_a_failed_result(staged):
    odd = strategy(parameters={"position_size": 7})
    found = await staged(passes).run_stage("pipe_1", odd, "syntax_check", Request())
    assert found.verdict is Verdict.FAILED
    assert "position_size is 7" in found.message
    assert staged.runs == []


@pytest.mark.parametrize(
    ("stage", "request_", "field"),
    [
        ("compile", Request(), "stage"),
        ("backtest", Request(initial_capital=0), "initial_capital"),
        ("backtest", Request(duration_days=0), "duration_days"),
        ("backtest", Request(validation_profile="x"), "validation_profile"),
        ("backtest", Request(validation_criteria={"x": 1}), "validation_criteria.x"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_and_nothing_is_saved(
    staged, stage, request_, field
):
    pipeline = staged(passes)
    with pytest.raises(InvalidError) as raised:
        await pipeline.run_stage("pipe_1", strategy(), stage, request_)
    assert raised.value.facts["field"] == field
    assert await pipeline.tests_completed() == 0


async def test_a_job_holds_what_was_asked(staged):
    wanted = Request(
        duration_days=180,
        initial_capital=50_000,
        validation_criteria={"min_sharpe_ratio": 0.5},
        validation_profile="production",
    )
    declared = strategy(risk_limits={"max_var": 0.02})
    await staged(passes).run_stage(None, declared, "backtest", wanted)
    (job,) = staged.runs
    assert job.duration_days == 180
    assert job.settings.capital_nanos == 50_000 * 10**9
    assert (job.criteria.min_sharpe_ratio, job.criteria.min_psr) == (0.5, 0.95)
    assert job.criteria.max_var == 0.02


async def test_trials_count_the_different_contents_of_the_line(staged, control):
    versions = [
        strategy(version=f"1.0.{number}", strategy_id=f"strat_{number}") for number in range(3)
    ]
    other = strategy(name="Other", strategy_id="strat_9")
    async with control.write() as connection:
        for each in (*versions, other):
            await registry.insert(connection, each)
    pipeline = staged(passes)
    for each in (*versions, versions[0], other):
        await pipeline.run_stage(None, each, "backtest", Request())
    assert [job.trials for job in staged.runs] == [1, 2, 3, 3, 1]


async def test_counts_and_durations_are_those_of_what_finished(staged, clock):
    durations = iter([100.0, 900.0, 2_000.0])

    async def timed(job):
        return result(duration_ms=next(durations))

    pipeline = staged(timed)
    await pipeline.run_stage(None, strategy(), "backtest", Request())
    clock.advance(3_600)
    for _ in range(2):
        await pipeline.run_stage(None, strategy(), "backtest", Request())
    assert await pipeline.tests_completed(NOW + timedelta(minutes=1)) == 2
    assert await pipeline.stage_durations((0.5, 1.0)) == {
        "backtest": (3, 3.0, [(0.5, 1), (1.0, 2)])
    }
    assert await pipeline.stage_durations() == {"backtest": (3, 3.0, [])}


def test_the_stages_limits_add_up_to_the_pipeline_s():
    timeouts = service.Timeouts(pipeline_s=300)
    assert sum(timeouts.of(stage) for stage in model.STAGES) == pytest.approx(300)
