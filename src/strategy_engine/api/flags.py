"""HTTP door to feature flags: make, read, change and archive them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from strategy_engine.api import answers, doors, models, openapi
from strategy_engine.flags.model import Content, Flag, Rule

router = APIRouter(prefix="/flags", tags=["flags"], dependencies=[doors.bearer])

Key = Annotated[
    str, Path(pattern=r"^[a-z][a-z0-9_.-]{0,59}$", description="What strategies read it by.")
]
_EXISTS: openapi.Responses = {
    200: {"model": answers.Flag, "description": "The same flag was made before."}
}


@router.post(
    "", status_code=201, summary="Make a flag", responses=_EXISTS | openapi.errors(409, body=True)
)
async def create(
    body: models.CreateFlag, given: doors.Given, actor: doors.Actor, response: Response
) -> answers.Flag:
    """Make a flag; running strategies read it within a second, new versions are validated with it.

    Its type never changes, and its key is taken for ever: code may still ask for it.
    """
    content = Content(
        type=body.type,
        default=body.default,
        owner=actor if body.owner is None else body.owner,
        expires_at=body.expires_at,
        description=body.description,
        rules=_rules(body.rules),
    )
    flag, is_new = await given.flags.create(body.key, content, actor=actor)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/flags/{flag.key}"
    return answers.Flag(**_fields(flag, given))


@router.get("", summary="List flags", responses=openapi.errors())
async def page(
    given: doors.Given,
    archived: Annotated[bool, Query(description="Those that are archived too.")] = False,  # noqa: FBT002  (a query)
) -> answers.Flags:
    """Return flags by key."""
    found = await given.flags.list(with_archived=archived)
    return answers.Flags(
        flags=[answers.Flag(**_fields(each, given)) for each in found], count=len(found)
    )


@router.get("/{key}", summary="Read a flag", responses=openapi.errors(404))
async def get(key: Key, given: doors.Given) -> answers.WholeFlag:
    """Return a flag, archived or not, with everything that was done to it and by whom."""
    flag = await given.flags.get(key)
    history = [answers.HistoryEntry.model_validate(each) for each in await given.flags.history(key)]
    return answers.WholeFlag(**_fields(flag, given), history=history)


@router.put("/{key}", summary="Change a flag", responses=openapi.errors(404, 409, body=True))
async def update(
    key: Key, body: models.UpdateFlag, given: doors.Given, actor: doors.Actor
) -> answers.Flag:
    """Change parts of a flag; an instrument in which a position is open keeps its values."""
    changes: dict[str, Any] = {
        name: getattr(body, name)
        for name in body.model_fields_set
        if getattr(body, name) is not None
    }
    if body.rules is not None:
        changes["rules"] = _rules(body.rules)
    return answers.Flag(**_fields(await given.flags.update(key, changes, actor=actor), given))


@router.delete("/{key}", summary="Archive a flag", responses=openapi.errors(404))
async def archive(key: Key, given: doors.Given, actor: doors.Actor) -> answers.Flag:
    """End a flag: it says its default from then on; archived twice is no error."""
    return answers.Flag(**_fields(await given.flags.archive(key, actor=actor), given))


def _rules(asked: list[models.FlagRule]) -> tuple[Rule, ...]:
    return tuple(Rule(**each.model_dump()) for each in asked)


def _fields(flag: Flag, given: doors.Given) -> dict[str, Any]:
    content = flag.content
    return {
        "key": flag.key,
        "type": content.type.value,
        "default": content.default,
        "owner": content.owner,
        "description": content.description,
        "rules": [_rule(each) for each in content.rules],
        "live": flag.is_live(given.clock.now()),
        "expires_at": content.expires_at,
        "created_at": flag.created_at,
        "created_by": flag.created_by,
        "updated_at": flag.updated_at,
        "archived_at": flag.archived_at,
    }


def _rule(rule: Rule) -> answers.ShownRule:
    return answers.ShownRule(**{name: getattr(rule, name) for name in Rule.__slots__})
