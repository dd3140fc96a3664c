"""What others are told of a deployment's end. Pure."""

from datetime import datetime

from strategy_engine.infra.bus import topics
from strategy_engine.rollout.model import Deployment, Outcome, State


def events(
    before: State | None, after: Deployment, *, version: str, at: datetime
) -> list[topics.Payload]:
    """Return the event of one change of state: a version deployed, or a pipeline failed.

    A version that was live already and passed again is no new deployment.
    """
    if before is after.state:
        return []
    if after.state is State.FAILED:
        return [_failed(after, at)]
    if after.state is State.COMPLETED and after.outcome is Outcome.PROMOTED:
        return [_deployed(after, version, at)]
    return []


def _deployed(deployment: Deployment, version: str, at: datetime) -> topics.StrategyDeployed:
    return topics.StrategyDeployed(
        event_id=f"{deployment.pipeline_id}.deployed",
        sequence=1,
        strategy_id=deployment.strategy_id,
        strategy_name=deployment.strategy_name,
        version=version,
        pipeline_id=deployment.pipeline_id,
        deployment_type=deployment.options.deployment_type.value,
        deployed_at=deployment.ended_at or at,
    )


def _failed(deployment: Deployment, at: datetime) -> topics.PipelineFailed:
    outcome = deployment.outcome
    return topics.PipelineFailed(
        event_id=f"{deployment.pipeline_id}.failed",
        sequence=1,
        pipeline_id=deployment.pipeline_id,
        strategy_id=deployment.strategy_id,
        strategy_name=deployment.strategy_name,
        stage=deployment.current_stage,
        outcome="" if outcome is None else outcome.value,
        message=deployment.message,
        failed_at=deployment.ended_at or at,
    )
