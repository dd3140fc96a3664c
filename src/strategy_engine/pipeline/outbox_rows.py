"""What others are told of a pipeline's stage. Pure."""

from datetime import datetime

from strategy_engine.infra.bus import topics
from strategy_engine.pipeline.model import STAGES, StageResult


def completed(
    pipeline_id: str, strategy_id: str, result: StageResult, finished_at: datetime
) -> topics.StageCompleted:
    """Return the event of a finished stage."""
    return topics.StageCompleted(
        event_id=f"{pipeline_id}.{result.stage}",
        sequence=STAGES.index(result.stage) + 1,
        pipeline_id=pipeline_id,
        strategy_id=strategy_id,
        stage=result.stage,
        passed=result.passed,
        verdict=str(result.verdict),
        duration_ms=result.duration_ms,
        message=result.message,
        finished_at=finished_at,
    )
