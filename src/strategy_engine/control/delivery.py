"""What takes a version from its source to capital, wired: stages, deployments, lines."""

from dataclasses import dataclass

from strategy_engine.config import Settings
from strategy_engine.control import sharing
from strategy_engine.control.ground import Ground
from strategy_engine.control.paper import PaperRuns, RunningNow
from strategy_engine.control.sharing import Sharing
from strategy_engine.flags.service import Flags
from strategy_engine.market.recorded import RecordedBars
from strategy_engine.pipeline import stages
from strategy_engine.pipeline.children import Children
from strategy_engine.pipeline.service import Pipeline, Timeouts
from strategy_engine.rollout import fresh
from strategy_engine.rollout.acting import Acting
from strategy_engine.rollout.acts import Acts
from strategy_engine.rollout.comparisons import Comparisons
from strategy_engine.rollout.controller import Controller
from strategy_engine.rollout.journal import Journal
from strategy_engine.rollout.line import Line
from strategy_engine.rollout.model import Defaults
from strategy_engine.rollout.observing import Observer
from strategy_engine.rollout.service import Rollouts
from strategy_engine.rollout.steps import Steps
from strategy_engine.rollout.tending import Tending
from strategy_engine.rollout.workflows import Workflows
from strategy_engine.sandbox.launcher import ChildLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The services, and the tasks that carry on what they are asked for."""

    pipeline: Pipeline
    rollouts: Rollouts
    workflows: Workflows
    tending: Tending
    sharing: Sharing


def make(ground: Ground, flags: Flags) -> Delivery:
    """Return them, each made once a process."""
    settings = ground.settings
    pipeline = _pipeline(ground, flags)
    observer = _observer(ground, pipeline)
    shared = _sharing(ground, observer)
    journal = Journal(ground.database, ground.registry, ground.clock, node_id=settings.node_id)
    line = Line(
        registry=ground.registry,
        executions=ground.executions,
        records=ground.records,
        lines=shared.lines,
    )
    acts = Acts(executions=ground.executions, registry=ground.registry)
    defaults = _defaults(settings)
    controller = Controller(
        journal=journal, acts=acts, observer=observer, auto_rollback=settings.auto_rollback
    )
    steps = Steps(
        journal=journal,
        pipeline=pipeline,
        line=line,
        controller=controller,
        defaults=defaults,
        end_run=PaperRuns(ground.executions, ground.records).end,
    )
    workflows = Workflows(steps)
    acting = Acting(journal=journal, executions=ground.executions, records=ground.records)
    return Delivery(
        pipeline=pipeline,
        rollouts=Rollouts(
            journal=journal,
            pipeline=pipeline,
            line=line,
            acting=acting,
            carrier=workflows,
            defaults=defaults,
        ),
        workflows=workflows,
        tending=Tending(journal=journal, acts=acts, observer=observer),
        sharing=shared,
    )


def _defaults(settings: Settings) -> Defaults:
    return Defaults(
        stages=settings.stages,
        approval_required=settings.approval_required,
        auto_rollback=settings.auto_rollback,
    )


def _pipeline(ground: Ground, flags: Flags) -> Pipeline:
    settings = ground.settings
    children = Children(
        ground.zygotes,
        limits=ChildLimits(
            memory_bytes=settings.child_memory_bytes, cpu_s=settings.pipeline_timeout_s
        ),
        workers=settings.workers,
        decision_timeout_s=settings.decision_timeout_s,
    )
    tools = stages.Tools(
        children=children,
        catalogue=ground.catalogue,
        run_paper=PaperRuns(ground.executions, ground.records),
        running_returns=RunningNow(ground.executions, ground.records, ground.registry),
        clock=ground.clock,
        allowed_imports=settings.allowed_imports,
    )
    timeouts = Timeouts(pipeline_s=settings.pipeline_timeout_s)
    return Pipeline(ground.database, tools, timeouts, ground.clock, flags)


def _observer(ground: Ground, pipeline: Pipeline) -> Observer:
    return Observer(
        results=pipeline.results,
        executions=ground.executions,
        records=ground.records,
        registry=ground.registry,
        catalogue=ground.catalogue,
        comparing=_comparisons(ground),
        clock=ground.clock,
        replay_speed=ground.settings.replay_speed,
    )


def _comparisons(ground: Ground) -> Comparisons:
    settings = ground.settings
    tools = fresh.Tools(
        records=ground.records,
        recorded=RecordedBars(ground.ledger),
        catalogue=ground.catalogue,
        launcher=ground.zygotes,
        limits=ChildLimits(memory_bytes=settings.child_memory_bytes, cpu_s=None),
        decision_timeout_s=settings.decision_timeout_s,
    )
    return Comparisons(tools, ground.registry)


def _sharing(ground: Ground, observer: Observer) -> Sharing:
    return sharing.make(
        database=ground.database,
        registry=ground.registry,
        executions=ground.executions,
        records=ground.records,
        catalogue=ground.catalogue,
        observer=observer,
        clock=ground.clock,
    )
