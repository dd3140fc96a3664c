"""The shapes that the client tells are those that the engine answers."""

import types
import typing
from importlib import resources
from typing import Any

import pytest
from pydantic import BaseModel

from strategy_engine.api import answers, market_answers, readings, risk, risk_limits, rollouts
from strategy_engine.client import model, risk_model, rollout_model

SHAPES: list[tuple[type, type[BaseModel]]] = [
    (model.Part, readings.Part),
    (model.Health, readings.Health),
    (model.Created, answers.Created),
    (model.Strategy, answers.StrategySummary),
    (model.WholeStrategy, answers.Strategy),
    (model.Changed, answers.Changed),
    (model.Strategies, answers.Strategies),
    (model.Accepted, answers.Accepted),
    (model.Finding, answers.Finding),
    (model.StageResult, answers.StageResult),
    (model.DeploymentSummary, answers.DeploymentSummary),
    (rollout_model.Step, rollouts.Step),
    (rollout_model.Hold, rollouts.Hold),
    (rollout_model.Undo, rollouts.Undo),
    (rollout_model.Rollout, rollouts.Rollout),
    (rollout_model.Effect, rollouts.Effect),
    (rollout_model.Acted, rollouts.Acted),
    (rollout_model.Event, answers.DeploymentEvent),
    (rollout_model.Events, answers.DeploymentEvents),
    (model.Deployment, answers.DeploymentStatus),
    (model.Deployments, answers.Deployments),
    (model.Execution, readings.Execution),
    (model.Executions, readings.Executions),
    (model.Started, readings.Started),
    (model.Moved, readings.Moved),
    (model.Trade, readings.Trade),
    (model.Trades, readings.Trades),
    (model.Instrument, market_answers.Instrument),
    (model.Key, answers.Key),
    (model.CreatedKey, answers.CreatedKey),
    (model.Keys, answers.Keys),
    (model.Webhook, answers.Webhook),
    (model.CreatedWebhook, answers.CreatedWebhook),
    (model.Webhooks, answers.Webhooks),
    (model.Delivery, answers.Delivery),
    (model.Deliveries, answers.Deliveries),
    (model.Flag, answers.Flag),
    (model.WholeFlag, answers.WholeFlag),
    (model.Flags, answers.Flags),
    (model.RiskLimits, risk_limits.LimitSetting),
    (model.AllRiskLimits, risk_limits.LimitSettings),
    (risk_model.Breach, risk.Breach),
    (risk_model.Breaches, risk.Breaches),
    (risk_model.HeldBack, risk.HeldBack),
    (risk_model.LineReference, risk.LineReference),
    (risk_model.Risk, risk.Risk),
    (risk_model.RiskReset, risk.RiskReset),
]
IDS = [told.__name__ for told, _ in SHAPES]


def members(told: type) -> dict[str, Any]:
    return typing.get_type_hints(told)


def may_be_null(hint: Any) -> bool:
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    is_union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return is_union and any(each is type(None) for each in typing.get_args(hint))


@pytest.mark.parametrize(("told", "answered"), SHAPES, ids=IDS)
def test_a_client_names_only_members_that_are_answered(
    told: type, answered: type[BaseModel]
) -> None:
    assert set(members(told)) <= set(answered.model_fields)


@pytest.mark.parametrize(("told", "answered"), SHAPES, ids=IDS)
def test_a_client_knows_which_members_may_be_null(told: type, answered: type[BaseModel]) -> None:
    nullable = {
        name for name, field in answered.model_fields.items() if may_be_null(field.annotation)
    }
    known = {name for name, hint in members(told).items() if may_be_null(hint)}

    assert nullable & set(members(told)) <= known


def test_every_shape_of_the_client_is_compared() -> None:
    modules = model, risk_model, rollout_model
    found = [each for module in modules for each in vars(module).values()]
    shapes = {each for each in found if typing.is_typeddict(each)}

    assert shapes == {told for told, _ in SHAPES}


def test_a_listed_deployment_tells_no_results() -> None:
    assert not {"results", "stages_completed"} & set(members(model.DeploymentSummary))
    (listed,) = typing.get_args(members(model.Deployments)["deployments"])
    assert listed is model.DeploymentSummary


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert resources.files("strategy_engine").joinpath("py.typed").is_file()
