"""What each type of deployment comes to, step by step."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.core.errors import InvalidError, NotBuiltError
from strategy_engine.rollout import limits, plans, store
from strategy_engine.rollout.durations import Duration
from strategy_engine.rollout.model import DeploymentType, Options, Rebalance
from strategy_engine.rollout.plans import Kind, Step
from strategy_engine.rollout.rules import Bounds

SYMBOLS = ("A.SIM", "B.SIM", "C.SIM")
LASTS = Duration(seconds=30)
_T, _K = DeploymentType, Kind


def told(steps):
    """Return a plan as lines that a reader can check: kind, share, symbols, time, decisions."""
    return [
        " ".join(
            [
                each.kind.value,
                f"{each.weight:g}",
                *each.symbols,
                *([str(each.lasts)] if each.lasts != Duration() else []),
                *([f"{each.min_decisions}x"] if each.min_decisions else []),
                *(["required"] if each.requires_analysis else []),
            ]
        )
        for each in steps
    ]


def planned(kind, **options):
    return plans.plan(Options(deployment_type=kind, **options), SYMBOLS, replaces=True)


@pytest.mark.parametrize(
    ("kind", "options", "steps"),
    [
        (
            _T.DIRECT,
            {},
            ["prepare 0", "switch 1", "hand_over 1", "pause 1 20x", "finish 1"],
        ),
        (
            _T.BLUE_GREEN,
            {},
            [
                "prepare 0",
                "shadow 0 30s 20x",
                "switch 1",
                "hand_over 1",
                "pause 1 30s 20x",
                "finish 1",
            ],
        ),
        (
            _T.BLUE_GREEN,
            {"approve_switch": True, "min_time": "5m", "min_decisions": 0},
            [
                "prepare 0",
                "shadow 0 5m 1x",
                "approval 0",
                "switch 1",
                "hand_over 1",
                "pause 1 5m",
                "finish 1",
            ],
        ),
        (
            _T.CANARY,
            {},
            [
                "prepare 0",
                "shadow 0 20x",
                "weight 0.05 30s 20x",
                "weight 0.1 30s 20x",
                "weight 0.25 30s 20x",
                "weight 0.5 30s 20x",
                "switch 1",
                "hand_over 1",
                "finish 1",
            ],
        ),
        (
            _T.CANARY,
            {
                "steps": (
                    {"shadow": "50 bars"},
                    {"weight": 0.1, "min_time": "1d", "min_decisions": 100},
                    {"pause": "4h", "min_decisions": 5},
                    {"approval": True},
                    {"weight": 0.5},
                    {"analysis": True},
                    {"analysis": {"required": False, "min_time": "2d"}},
                    {"weight": 1, "min_time": "1h"},
                    {"pause": "2h"},
                ),
                "min_time": "10s",
                "min_decisions": 3,
            },
            [
                "prepare 0",
                "shadow 0 50 bars",
                "weight 0.1 1d 100x",
                "pause 0.1 4h 5x",
                "approval 0.1",
                "weight 0.5 10s 3x",
                "analysis 0.5 10s 3x required",
                "analysis 0.5 2d 3x",
                "switch 1",
                "hand_over 1",
                "pause 1 1h 3x",
                "pause 1 2h",
                "finish 1",
            ],
        ),
        (
            _T.CANARY,
            {"steps": ({"weight": 0.2}, {"weight": 1.0}), "requires_analysis": True},
            [
                "prepare 0",
                "weight 0.2 30s 20x required",
                "switch 1",
                "hand_over 1",
                "finish 1",
            ],
        ),
        (
            _T.ROLLING,
            {"max_unavailable": 2},
            [
                "prepare 0",
                "switch 0.666667 A.SIM B.SIM",
                "hand_over 0.666667 A.SIM B.SIM",
                "pause 0.666667 A.SIM B.SIM 30s 20x",
                "switch 1 C.SIM",
                "hand_over 1 C.SIM",
                "pause 1 C.SIM 30s 20x",
                "finish 1",
            ],
        ),
    ],
)
def test_a_type_and_its_options_come_to_these_steps(kind, options, steps):
    assert told(planned(kind, **options)) == steps


@pytest.mark.parametrize("kind", DeploymentType)
def test_with_nothing_running_every_type_deploys_and_waits_for_a_start(kind):
    options = Options(deployment_type=kind)
    assert plans.plan(options, (), replaces=False) == (Step(kind=_K.DEPLOY),)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("min_time", {"min_time": "soon"}),
        ("min_decisions", {"min_decisions": -1}),
        ("keep_warm", {"keep_warm": "20 bars"}),
        ("progress_deadline", {"progress_deadline": "0s"}),
        ("loss_budget", {"loss_budget": 0.0}),
        ("loss_budget", {"loss_budget": 1.01}),
        ("loss_budget", {"loss_budget": float("nan")}),
        ("bounds.max_drawdown", {"bounds": {"max_drawdown": 0.1}}),
        ("bounds.loss_budget", {"bounds": {"loss_budget": 0.1}}),
        ("bounds.max_silence_s", {"bounds": {"max_silence_s": -1}}),
        ("bounds.max_silence_s", {"bounds": {"max_silence_s": float("inf")}}),
        ("bounds.max_silence_s", {"bounds": {"max_silence_s": True}}),
        ("bounds.max_silence_s", {"bounds": {"max_silence_s": "30s"}}),
        ("bounds.max_silence_s", {"bounds": {"max_silence_s": 0}}),
        ("bounds.max_silence_s", {"bounds": {"max_silence_s": 1e9}}),
        ("bounds.max_reject_share", {"bounds": {"max_reject_share": 1.5}}),
        ("bounds.max_slippage_bps", {"bounds": {"max_slippage_bps": float("nan")}}),
        ("bounds.max_order_ratio", {"bounds": {"max_order_ratio": 0}}),
        ("bounds.max_exposure", {"bounds": {"max_exposure": 0}}),
        ("bounds.max_decision_ms", {"bounds": {"max_decision_ms": 0}}),
        ("bounds.max_restarts", {"bounds": {"max_restarts": 0.5}}),
        ("bounds.max_restarts", {"bounds": {"max_restarts": -1}}),
        ("bounds.fewest_orders", {"bounds": {"fewest_orders": 0}}),
        ("bounds.harmless", {"bounds": {"harmless": -0.1}}),
        ("bounds.alpha", {"bounds": {"alpha": 0.6}}),
        ("bounds.alpha", {"bounds": {"alpha": 0}}),
        ("max_unavailable", {"deployment_type": _T.ROLLING, "max_unavailable": 0}),
        ("steps", {"deployment_type": _T.DIRECT, "steps": ({"weight": 0.5},)}),
        ("steps", {"steps": ({"approval": True},) * 51}),
        ("steps.0", {"steps": ({},)}),
        ("steps.0", {"steps": ({"wait": "10s"},)}),
        ("steps.0", {"steps": ({"weight": 0.1, "pause": "10s"},)}),
        ("steps.0", {"steps": ({"weight": 0.1, "duration": "10s"},)}),
        ("steps.0", {"steps": ({"pause": "10s", "min_time": "1h"},)}),
        ("steps.0", {"steps": ({"approval": True, "min_time": "1h"},)}),
        ("steps.0.weight", {"steps": ({"weight": 0},)}),
        ("steps.0.weight", {"steps": ({"weight": 5},)}),
        ("steps.0.weight", {"steps": ({"weight": float("nan")},)}),
        ("steps.0.weight", {"steps": ({"weight": True},)}),
        ("steps.0.weight", {"steps": ({"weight": "5%"},)}),
        ("steps.0.min_time", {"steps": ({"weight": 0.1, "min_time": "soon"},)}),
        ("steps.0.min_decisions", {"steps": ({"weight": 0.1, "min_decisions": 1.5},)}),
        ("steps.0.pause", {"steps": ({"pause": "soon"},)}),
        ("steps.0.shadow", {"steps": ({"shadow": "soon"},)}),
        ("steps.0.approval", {"steps": ({"approval": False},)}),
        ("steps.0.analysis", {"steps": ({"analysis": "yes"},)}),
        ("steps.0.analysis", {"steps": ({"analysis": {"metric": "sharpe"}},)}),
        ("steps.1.weight", {"steps": ({"weight": 0.5}, {"weight": 0.5})}),
        ("steps.2.weight", {"steps": ({"weight": 0.5}, {"approval": True}, {"weight": 0.25})}),
        ("steps.1.shadow", {"steps": ({"weight": 0.5}, {"shadow": "10s"})}),
    ],
)
@pytest.mark.parametrize("replaces", [True, False])
def test_an_option_that_makes_no_sense_is_refused_by_its_name(field, options, replaces):
    asked = Options(**{"deployment_type": _T.CANARY} | options)
    with pytest.raises(InvalidError) as refused:
        plans.plan(asked, SYMBOLS, replaces=replaces)
    assert refused.value.facts["field"] == field
    assert field.rpartition(".")[2] in str(refused.value)


def test_every_bound_says_what_it_may_be_and_is_so_by_itself():
    usual = asdict(Bounds())
    assert usual.keys() == limits.RANGES.keys()
    for name, value in usual.items():
        assert limits.RANGES[name].holds(value), name


@given(st.sampled_from(limits.NAMES), st.floats() | st.integers())
def test_a_bound_is_taken_where_its_range_holds_it_and_else_refused_with_the_range(name, value):
    asked = Options(bounds={name: value})
    if limits.RANGES[name].holds(value):
        assert getattr(limits.bounds(asked), name) == value
    else:
        with pytest.raises(InvalidError) as refused:
            limits.bounds(asked)
        assert refused.value.facts == {
            "field": f"bounds.{name}",
            "value": str(value),
            "accepted": str(limits.RANGES[name]),
        }


def test_bounds_that_are_asked_for_stand_beside_the_usual_ones():
    asked = Options(loss_budget=0.05, bounds={"max_slippage_bps": 12, "fewest_orders": 3})
    assert limits.bounds(asked) == replace(
        Bounds(), loss_budget=0.05, max_slippage_bps=12, fewest_orders=3
    )


@pytest.mark.parametrize("kind", DeploymentType)
def test_a_weight_that_is_to_close_positions_at_once_is_refused_by_name(kind):
    asked = Options(deployment_type=kind, rebalance=Rebalance.IMMEDIATE)
    with pytest.raises(NotBuiltError, match="handover flatten") as refused:
        plans.plan(asked, SYMBOLS, replaces=True)
    assert (refused.value.facts["field"], refused.value.facts["accepted"]) == (
        "rebalance",
        ["as_freed"],
    )


def test_a_steps_name_fits_its_column():
    many = Step(kind=_K.HAND_OVER, symbols=tuple(f"INSTRUMENT{n}.SIM" for n in range(100)))
    assert many.name == "hand_over_100_symbols"
    assert Step(kind=_K.SWITCH, symbols=("EUR/USD.SIM",)).name == "switch_EUR/USD.SIM"
    assert Step(kind=_K.WEIGHT, weight=0.125).name == "weight_12.5"
    assert (
        len(Step(kind=_K.HAND_OVER, symbols=("X" * 60,)).name)
        <= store.TABLE.c.current_stage.type.length
    )


def test_a_plan_of_an_earlier_engine_is_none():
    assert plans.from_plain(["stop_entries", "hand_over", "deploy", "start"]) == ()


WRITTEN_STEPS = st.lists(
    st.one_of(
        st.builds(lambda time: {"pause": time}, st.sampled_from(["0s", "10s", "5 bars", 90])),
        st.just({"approval": True}),
        st.builds(lambda value: {"analysis": value}, st.booleans()),
        st.builds(
            lambda weight, decisions: {"weight": weight, "min_decisions": decisions},
            st.floats(0.001, 1),
            st.integers(0, 50),
        ),
    ),
    max_size=8,
)


@st.composite
def options(draw):
    steps, highest = [], 0.0
    for each in draw(WRITTEN_STEPS):
        if each.get("weight", 1.1) <= highest:
            continue
        highest = max(highest, each.get("weight", 0.0))
        steps.append(each)
    kind = draw(st.sampled_from(DeploymentType))
    return Options(
        deployment_type=kind,
        steps=tuple(steps) if kind is DeploymentType.CANARY else (),
        min_time=draw(st.sampled_from(["0s", "10s", "1d", "50 bars"])),
        min_decisions=draw(st.integers(0, 100)),
        requires_analysis=draw(st.booleans()),
        approve_switch=draw(st.booleans()),
        max_unavailable=draw(st.integers(1, 7)),
    )


NAMES = st.lists(
    st.sampled_from([f"S{number}.SIM" for number in range(12)]),
    min_size=1,
    max_size=12,
    unique=True,
)


@given(options(), NAMES)
def test_the_share_of_the_new_version_only_rises_and_never_passes_the_whole(asked, symbols):
    steps = plans.plan(asked, symbols, replaces=True)
    shares = [each.weight for each in steps]
    assert shares == sorted(shares)
    assert shares[-1] == plans.FULL
    for each in steps:
        copies = 2 if each.has_baseline else 1
        assert copies * each.weight <= 1


@given(options(), NAMES)
def test_every_instrument_is_switched_once_and_handed_over_after_it(asked, symbols):
    steps = plans.plan(asked, symbols, replaces=True)
    for kind in (_K.SWITCH, _K.HAND_OVER):
        named = [
            name for each in steps if each.kind is kind for name in each.symbols or tuple(symbols)
        ]
        assert sorted(named) == sorted(symbols)
    kinds = [each.kind for each in steps if each.kind in {_K.SWITCH, _K.HAND_OVER}]
    assert kinds == [_K.SWITCH, _K.HAND_OVER] * (len(kinds) // 2)


@given(options(), NAMES)
def test_a_plan_begins_ready_and_comes_to_an_end(asked, symbols):
    kinds = [each.kind for each in plans.plan(asked, symbols, replaces=True)]
    assert (kinds[0], kinds[-1]) == (_K.PREPARE, _K.FINISH)
    assert kinds.count(_K.PREPARE) == kinds.count(_K.FINISH) == 1


@given(options(), NAMES)
def test_no_batch_of_a_rolling_one_is_larger_than_may_be_unavailable(asked, symbols):
    steps = plans.plan(replace(asked, deployment_type=_T.ROLLING, steps=()), symbols, replaces=True)
    batches = [each.symbols for each in steps if each.kind is _K.SWITCH]
    assert all(0 < len(each) <= asked.max_unavailable for each in batches)
    assert len(batches) == -(-len(symbols) // asked.max_unavailable)


@given(options(), NAMES)
def test_a_plan_is_read_as_it_was_stored(asked, symbols):
    steps = plans.plan(asked, symbols, replaces=True)
    stored = json.loads(json.dumps(plans.to_plain(steps)))
    assert plans.from_plain(stored) == steps
