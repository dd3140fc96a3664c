"""HTTP door to API keys: make, list and revoke them."""

from typing import Annotated

from fastapi import APIRouter, Path

from strategy_engine.access.model import Key
from strategy_engine.api import answers, doors, models, openapi

router = APIRouter(prefix="/keys", tags=["keys"], dependencies=[doors.bearer])

KeyId = Annotated[str, Path(pattern=r"^[0-9a-f]{1,20}$", description="The id that POST answered.")]


@router.post("", status_code=201, summary="Make a key", responses=openapi.errors(409, body=True))
async def create(
    body: models.CreateKey, given: doors.Given, actor: doors.Actor
) -> answers.CreatedKey:
    """Make a key for one user or program; its text is in this answer and nowhere else.

    From the first key on every request needs one, so the first must be an administrator's.
    """
    made = await given.keys.create(body.name, body.role, actor=actor)
    return answers.CreatedKey(**_fields(made.key), key=str(made.token))


@router.get("", summary="List keys", responses=openapi.errors())
async def page(given: doors.Given) -> answers.Keys:
    """Return every key there ever was, oldest first, without its secret."""
    found = await given.keys.list()
    return answers.Keys(keys=[answers.Key(**_fields(each)) for each in found], count=len(found))


@router.delete("/{key_id}", summary="Revoke a key", responses=openapi.errors(404, 409, 422))
async def revoke(key_id: KeyId, given: doors.Given, actor: doors.Actor) -> answers.Key:
    """Let a key open nothing any more, within a second; revoked twice is no error."""
    return answers.Key(**_fields(await given.keys.revoke(key_id, actor=actor)))


def _fields(key: Key) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role.value,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "revoked_at": key.revoked_at,
    }
