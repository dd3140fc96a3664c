from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from strategy_engine.access import tokens
from strategy_engine.access.model import (
    ENGINE_KEY,
    LOCAL,
    PERMISSIONS,
    ForbiddenError,
    Permission,
    Principal,
    Role,
    UnauthorizedError,
    require,
)
from strategy_engine.access.service import REMEMBERED_S, Keys
from strategy_engine.core.clock import SteppedClock
from strategy_engine.core.errors import ConflictError, InvalidError, NotFoundError
from strategy_engine.infra import audit, database
from strategy_engine.infra.outages import DatabaseAwayError

NOW = datetime(2026, 1, 5, tzinfo=UTC)
READ, TRADE = Permission.READ, Permission.TRADE


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", Role)
def test_a_role_passes_where_the_table_says_so_and_nowhere_else(role, permission):
    principal = Principal(name="x", role=role)
    if permission in PERMISSIONS[role]:
        require(principal, permission)
        return
    with pytest.raises(ForbiddenError, match=permission.value) as told:
        require(principal, permission)
    assert told.value.facts["accepted"]
    assert role.value not in told.value.facts["accepted"]


def test_every_role_reads_and_only_an_administrator_manages_keys():
    assert all(READ in PERMISSIONS[role] for role in Role)
    assert [r for r in Role if Permission.MANAGE_KEYS in PERMISSIONS[r]] == [Role.ADMIN]


def test_who_writes_a_strategy_neither_trades_nor_approves_it():
    assert not PERMISSIONS[Role.DEVELOPER] & {TRADE, Permission.APPROVE, Permission.OVERRIDE_RISK}


def test_a_key_is_read_as_it_was_made():
    token = tokens.make()

    assert tokens.parse(str(token)) == token
    assert tokens.matches(token.secret, tokens.hashed(token.secret))


def test_a_keys_secret_is_not_in_its_repr():
    token = tokens.make()

    assert token.secret not in repr(token)


@given(st.text(max_size=300))
def test_any_other_text_is_no_key_or_one_that_nobody_has(text):
    parsed = tokens.parse(text)

    assert parsed is None or str(parsed) == text


@pytest.fixture
async def opened(tmp_path):
    url = database.control_url(tmp_path)
    engine = database.sync_engine(url)
    database.control.create_all(engine)
    engine.dispose()
    made = database.Database(url)
    yield made
    await made.aclose()


@pytest.fixture
def clock():
    return SteppedClock(NOW)


@pytest.fixture
def keys(opened, clock):
    return Keys(opened, clock)


async def test_without_any_key_whoever_asks_is_local_and_may_everything(keys):
    assert await keys.identify(None) is LOCAL
    assert await keys.identify("anything") is LOCAL
    assert not await keys.are_in_use()
    assert all(LOCAL.may(each) for each in Permission)


async def test_the_first_key_must_be_an_administrators(keys):
    with pytest.raises(ConflictError, match="first key"):
        await keys.create("ci", Role.DEVELOPER, actor="local")

    assert await keys.list() == []


async def test_a_key_says_who_asks_and_no_other_text_does(keys):
    root = await keys.create("root", Role.ADMIN, actor="local")
    made = await keys.create("ci", Role.DEVELOPER, actor="root")

    asks = await keys.identify(str(made.token))

    assert (asks.role, asks.is_local) == (Role.DEVELOPER, False)
    assert made.key.key_id in asks.name
    wrong = f"sek_{made.key.key_id}_{root.token.secret}"
    for text in (None, "", "x", made.token.secret, wrong, f"{made.token}x", "sek__"):
        with pytest.raises(UnauthorizedError):
            await keys.identify(text)


async def test_the_secret_is_nowhere_in_the_database(keys, opened):
    made = await keys.create("root", Role.ADMIN, actor="local")

    async with opened.read() as connection:
        for table in database.control.tables.values():
            for row in await connection.execute(sa.select(table)):
                assert made.token.secret not in str(row)


async def test_a_revoked_key_opens_nothing(keys, clock):
    root = await keys.create("root", Role.ADMIN, actor="local")
    made = await keys.create("ci", Role.DEVELOPER, actor="root")

    ended = await keys.revoke(made.key.key_id, actor="root")

    assert ended.revoked_at == clock.now()
    with pytest.raises(UnauthorizedError):
        await keys.identify(str(made.token))
    assert (await keys.identify(str(root.token))).role is Role.ADMIN


async def test_revoking_twice_keeps_the_time_of_the_first(keys, clock):
    await keys.create("root", Role.ADMIN, actor="local")
    made = await keys.create("ci", Role.DEVELOPER, actor="root")
    first = await keys.revoke(made.key.key_id, actor="root")
    clock.advance(3_600)

    assert await keys.revoke(made.key.key_id, actor="root") == first


async def test_another_process_hears_of_a_revoked_key_within_a_second(keys, opened, clock):
    elsewhere = Keys(opened, clock)
    root = await keys.create("root", Role.ADMIN, actor="local")
    made = await keys.create("ci", Role.DEVELOPER, actor="root")
    assert (await elsewhere.identify(str(made.token))).role is Role.DEVELOPER
    await keys.revoke(made.key.key_id, actor="root")
    clock.advance(REMEMBERED_S + 0.01)

    with pytest.raises(UnauthorizedError):
        await elsewhere.identify(str(made.token))
    assert (await elsewhere.identify(str(root.token))).role is Role.ADMIN


async def test_the_last_administrator_is_not_locked_out_while_others_have_keys(keys):
    root = await keys.create("root", Role.ADMIN, actor="local")
    made = await keys.create("ci", Role.DEVELOPER, actor="root")

    with pytest.raises(ConflictError, match="last administrator"):
        await keys.revoke(root.key.key_id, actor="root")
    await keys.revoke(made.key.key_id, actor="root")
    await keys.revoke(root.key.key_id, actor="root")

    assert await keys.identify(None) is LOCAL


async def test_the_engines_own_key_is_an_administrators(opened, clock):
    keys = Keys(opened, clock, engine_key="k" * 16)

    assert await keys.identify("k" * 16) is ENGINE_KEY
    with pytest.raises(UnauthorizedError):
        await keys.identify(None)
    assert (await keys.create("ci", Role.VIEWER, actor="api-key")).key.role is Role.VIEWER


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 61, "\x00"])
async def test_a_name_that_no_audit_could_show_is_refused(keys, name):
    with pytest.raises(InvalidError, match="name"):
        await keys.create(name, Role.ADMIN, actor="local")


async def test_an_unknown_key_cannot_be_revoked(keys):
    with pytest.raises(NotFoundError, match="abc"):
        await keys.revoke("abc", actor="local")


async def test_making_and_revoking_is_in_the_audit(keys, opened):
    made = await keys.create("root", Role.ADMIN, actor="local")
    await keys.revoke(made.key.key_id, actor=made.key.principal.name)

    async with opened.read() as connection:
        rows = await audit.history(connection, "api_key", made.key.key_id)

    assert [(each.action, each.actor) for each in rows] == [
        ("create", "local"),
        ("revoke", made.key.principal.name),
    ]


async def test_who_was_known_is_known_while_the_database_is_away(keys, opened, clock, monkeypatch):
    root = await keys.create("root", Role.ADMIN, actor="local")
    await keys.identify(str(root.token))

    def away(*_: object, **__: object) -> None:
        raise DatabaseAwayError("it is locked")

    monkeypatch.setattr(opened, "read", away)
    clock.advance(60)
    assert (await keys.identify_at_once(str(root.token))).role is Role.ADMIN
    with pytest.raises(DatabaseAwayError):  # nobody can say whether this is a new one
        await keys.identify_at_once("sek_unknown_key")


async def test_a_key_that_is_newer_than_what_was_known_is_asked_for(keys):
    root = await keys.create("root", Role.ADMIN, actor="local")
    await keys.identify(str(root.token))
    made = await keys.create("rita", Role.RISK, actor="root")
    assert (await keys.identify_at_once(str(made.token))).role is Role.RISK


async def test_the_engines_own_key_is_known_before_anything_was_read(opened, clock):
    engine = Keys(opened, clock, engine_key="k" * 16)
    assert await engine.identify_at_once("k" * 16) is ENGINE_KEY
