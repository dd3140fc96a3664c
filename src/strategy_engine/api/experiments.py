"""HTTP door to A/B experiments: start, read, stop."""

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from strategy_engine.api import configs, doors, line_models, openapi
from strategy_engine.api import line_answers as answers
from strategy_engine.api.answers import HistoryEntry
from strategy_engine.rollout.experiments.model import (
    Arm,
    Asked,
    Design,
    Experiment,
    Metric,
    Result,
    State,
    Unit,
)

router = APIRouter(prefix="/experiments", tags=["experiments"], dependencies=[doors.bearer])

ExperimentId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_]{1,40}$", description="The id that POST answered.")
]
NOT_YET = "nothing has been measured yet"


@router.post(
    "",
    status_code=201,
    summary="Start an experiment",
    responses=openapi.errors(404, 409, body=True),
)
async def create(
    body: line_models.CreateExperiment, given: doors.Given, asker: doors.Asker, response: Response
) -> answers.Experiment:
    """Run two versions of a line side by side, to estimate how their returns differ.

    What does not run is started, in shadow until it is READY; no position is moved. At the end
    capital goes back to where it was and B closes what it holds. Nothing is promoted by it.
    """
    asked = Asked(
        strategy_name=body.strategy_name,
        version_a=body.version_a,
        version_b=body.version_b,
        design=Design(
            hypothesis=body.hypothesis,
            metric=Metric(body.metric),
            margin=body.margin,
            alpha=body.alpha,
            unit=Unit(body.unit),
            share_b=Decimal(str(body.share_b)),
            planned_pairs=body.planned_pairs,
            seed=body.seed,
        ),
        capital=None if body.capital is None else Decimal(str(body.capital)),
        config=configs.config_of(body.execution_config, asker),
    )
    made = await given.experiments.request(asked, actor=asker.name)
    response.headers["Location"] = f"/experiments/{made.experiment_id}"
    return answers.Experiment(**_fields(made))


@router.get("", summary="List experiments", responses=openapi.errors())
async def page(
    given: doors.Given,
    line: Annotated[
        str | None, Query(max_length=100, pattern=doors.NOT_NUL, description="Only this line's.")
    ] = None,
    status: Annotated[State | None, Query(description="Only those in this state.")] = None,
    limit: doors.Limit = 50,
    offset: doors.Offset = 0,
) -> answers.Experiments:
    """Return experiments, newest first, ended ones too."""
    found, total = await given.experiments.page(
        strategy_name=line, state=status, limit=limit, offset=offset
    )
    return answers.Experiments(
        experiments=[answers.Experiment(**_fields(each)) for each in found],
        count=len(found),
        total=total,
        limit=limit,
        offset=offset,
    )


@router.get("/{experiment_id}", summary="Read an experiment", responses=openapi.errors(404))
async def get(experiment_id: ExperimentId, given: doors.Given) -> answers.WholeExperiment:
    """Return an experiment with its estimate, the interval that holds at all times, and its sample.

    Looking often does no harm: the interval is right at every look together.
    """
    return await _whole(experiment_id, given)


@router.post("/{experiment_id}/stop", summary="Stop an experiment", responses=openapi.errors(404))
async def stop(
    experiment_id: ExperimentId, given: doors.Given, actor: doors.Actor
) -> answers.WholeExperiment:
    """End an experiment now: its estimate is kept as it is, capital goes back, B runs off.

    Stopped twice is no error.
    """
    await given.experiments.stop(experiment_id, actor=actor)
    return await _whole(experiment_id, given)


async def _whole(experiment_id: str, given: doors.Given) -> answers.WholeExperiment:
    found = await given.experiments.get(experiment_id)
    history = await given.experiments.history(experiment_id)
    return answers.WholeExperiment(
        **_fields(found.experiment),
        **_judged(found.experiment, found.result),
        history=[HistoryEntry.model_validate(each) for each in history],
    )


def _judged(experiment: Experiment, result: Result | None) -> dict[str, Any]:
    if result is None:
        return {
            "pairs": 0,
            "estimate": None,
            "recommendation": "inconclusive",
            "reason": NOT_YET,
            "findings": [],
        }
    found = result.difference
    estimate = None
    if found is not None:
        estimate = answers.Estimate(
            mean=found.mean,
            lower=found.lower,
            upper=found.upper,
            pairs=found.pairs,
            confidence=1 - experiment.design.alpha,
        )
    return {
        "pairs": result.pairs,
        "estimate": estimate,
        "recommendation": result.recommendation.value,
        "reason": result.message,
        "findings": list(result.findings),
    }


def _fields(experiment: Experiment) -> dict[str, Any]:
    design = experiment.design
    return {
        "experiment_id": experiment.experiment_id,
        "strategy_name": experiment.strategy_name,
        "status": experiment.state.value,
        "outcome": None if experiment.outcome is None else experiment.outcome.value,
        "message": experiment.message,
        "hypothesis": design.hypothesis,
        "metric": design.metric.value,
        "margin": design.margin,
        "alpha": design.alpha,
        "unit": design.unit.value,
        "planned_pairs": design.planned_pairs,
        "seed": design.seed,
        "capital": experiment.capital,
        "a": _arm(experiment.a),
        "b": _arm(experiment.b),
        "requested_by": experiment.requested_by,
        "created_at": experiment.created_at,
        "running_at": experiment.running_at,
        "ended_at": experiment.ended_at,
    }


def _arm(arm: Arm) -> answers.Arm:
    return answers.Arm(
        version=arm.version,
        strategy_id=arm.strategy_id,
        execution_id=arm.execution_id or None,
        weight=arm.weight,
        symbols=list(arm.symbols),
        started_for_it=arm.is_own,
    )
