"""HTTP door to lines: their members, their books, and how their capital is shared."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path

from strategy_engine.api import configs, doors, line_models, openapi
from strategy_engine.api import line_answers as answers
from strategy_engine.api.answers import HistoryEntry
from strategy_engine.execution.model import Execution
from strategy_engine.rollout.allocation.model import Allocation, Kind, Policy
from strategy_engine.rollout.bookkeeping import Books
from strategy_engine.rollout.lines import Line, Member

router = APIRouter(prefix="/lines", tags=["lines"], dependencies=[doors.bearer])

# Without blanks at its ends, and without control characters.
_NAME = r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
Name = Annotated[
    str,
    Path(
        max_length=100,
        pattern=_NAME,
        description="The strategy_name that its versions share.",
        examples=["RSI Mean Reversion"],
    ),
]


@router.get("", summary="List lines", responses=openapi.errors())
async def page(given: doors.Given) -> answers.Lines:
    """Return every line by name: its versions, who has how much of its capital, what moves it."""
    found = [
        answers.LineSummary(**await _summary(await given.lines.look(name), given))
        for name in await given.lines.names()
    ]
    return answers.Lines(lines=found, count=len(found))


# A name may hold a slash, so these come before the line itself.
@router.put(
    "/{strategy_name:path}/allocation",
    summary="Share a line's capital",
    responses=openapi.errors(404, 409, body=True),
)
async def allocate(
    strategy_name: Name, body: line_models.PutAllocation, given: doors.Given, asker: doors.Asker
) -> answers.Allocation:
    """Share a line's capital across its approved versions by a policy, from now on.

    What does not run is started, in shadow until it is READY; who is to have less gives first.
    The share of a version that fails, halts or is paused goes to cash, not to the others.
    """
    policy = Policy(
        kind=Kind(body.policy),
        versions=tuple(body.versions),
        weights=_exact(body.weights),
        caps=_exact(body.caps),
        band=Decimal(str(body.band)),
        max_change_a_day=Decimal(str(body.max_change_a_day)),
        lookback=body.lookback,
        prior=body.prior,
    )
    found = await given.allocations.put(
        strategy_name,
        policy,
        actor=asker.name,
        given=None if body.capital is None else Decimal(str(body.capital)),
        config=configs.config_of(body.execution_config, asker),
    )
    return await _allocation(found, given)


@router.get(
    "/{strategy_name:path}/allocation",
    summary="Read how a line's capital is shared",
    responses=openapi.errors(404),
)
async def allocation(strategy_name: Name, given: doors.Given) -> answers.Allocation:
    """Return a line's allocation: the policy, the weights in force, and each change of them."""
    return await _allocation(await given.allocations.get(strategy_name), given)


@router.delete(
    "/{strategy_name:path}/allocation",
    summary="Share a line's capital no more",
    responses=openapi.errors(404),
)
async def end(strategy_name: Name, given: doors.Given, actor: doors.Actor) -> answers.Allocation:
    """End an allocation: versions keep what they have, the stable one gets what lies in cash."""
    return await _allocation(await given.allocations.end(strategy_name, actor=actor), given)


@router.get("/{strategy_name:path}", summary="Read a line", responses=openapi.errors(404))
async def get(strategy_name: Name, given: doors.Given) -> answers.Line:
    """Return a line whole: members and shadows with their money, and whether its books agree.

    The books hold what all ledgers of the line have against what all its fills and flows make.
    """
    line = await given.lines.look(strategy_name)
    return answers.Line(
        **await _summary(line, given),
        shadows=[await _member(each, Decimal(0), given) for each in line.shadows],
        books=_books(await given.lines.books_of(line, await given.allocations.account(line))),
    )


async def _summary(line: Line, given: doors.Given) -> dict[str, Any]:
    worth = sum((each.equity for each in line.members), Decimal(0))
    movers = await given.allocations.movers(line.strategy_name)
    return {
        "strategy_name": line.strategy_name,
        "versions": [each.content.version for each in line.versions],
        "members": [await _member(each, worth, given) for each in line.members],
        "tied": [await _tied(each, line, given) for each in line.tying],
        "capital": sum((each.contributed for each in line.members), Decimal(0)),
        "equity": worth,
        "moved_by": [
            answers.Mover(kind=each.kind, key=each.key, status=each.state) for each in movers
        ],
    }


async def _member(member: Member, worth: Decimal, given: doors.Given) -> answers.Member:
    execution = member.execution
    return answers.Member(
        execution_id=execution.execution_id,
        strategy_id=execution.strategy_id,
        version=member.version,
        role=execution.role.value,
        status=execution.status.value,
        risk_state=execution.risk_state.value,
        weight=member.equity / worth if worth > 0 else Decimal(0),
        capital=member.contributed,
        capital_target=execution.capital_target,
        equity=member.equity,
        pnl=member.equity - member.contributed,
        positions=await given.lines.positions(execution.execution_id),
        failure=execution.failure,
    )


async def _tied(row: Execution, line: Line, given: doors.Given) -> answers.Tied:
    return answers.Tied(
        execution_id=row.execution_id,
        strategy_id=row.strategy_id,
        version=line.number(row),
        role=row.role.value,
        status=row.status.value,
        capital=row.capital_left,
        positions=await given.lines.positions(row.execution_id),
        closing=None if row.closing is None else row.closing.value,
    )


def _books(found: Books) -> answers.Books:
    return answers.Books(
        agrees=found.agrees,
        findings=list(found.findings),
        positions=[
            answers.Held(
                symbol=each.symbol, ledgers=each.positions, fills=each.fills, agrees=each.agrees
            )
            for each in found.held
        ],
        cash=found.cash,
        expected_cash=found.expected_cash,
        opened=found.opened,
        flowed=found.flowed,
        fill_count=found.fill_count,
    )


async def _allocation(found: Allocation, given: doors.Given) -> answers.Allocation:
    policy = found.policy
    history = await given.allocations.history(found.allocation_id)
    return answers.Allocation(
        allocation_id=found.allocation_id,
        strategy_name=found.strategy_name,
        status=found.state.value,
        message=found.message,
        policy=policy.kind.value,
        versions=list(policy.versions),
        weights=dict(policy.weights),
        caps=dict(policy.caps),
        band=policy.band,
        max_change_a_day=policy.max_change_a_day,
        lookback=policy.lookback,
        prior=policy.prior,
        in_force=dict(found.weights),
        slots=dict(found.slots),
        changed_today=found.changed,
        executions=dict(found.executions),
        capital=found.capital,
        requested_by=found.requested_by,
        created_at=found.created_at,
        updated_at=found.updated_at,
        history=[HistoryEntry.model_validate(each) for each in history],
    )


def _exact(shares: Mapping[str, float]) -> dict[str, Decimal]:
    return {name: Decimal(str(share)) for name, share in shares.items()}
