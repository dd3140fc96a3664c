"""The rules that there are: the built-in ones, as somebody set them, and those of people."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from strategy_engine.alerts import rule_store, wording
from strategy_engine.alerts.builtin import BUILT_IN
from strategy_engine.alerts.rules import Rule

_BY_ID = {each.rule_id: each for each in BUILT_IN}


async def every(connection: AsyncConnection) -> list[Rule]:
    """Return every rule: the built-in ones first, then the others by their age."""
    stored = {row.rule_id: row for row in await rule_store.every(connection)}
    own = [_set(each, stored.get(each.rule_id)) for each in BUILT_IN]
    return own + [_made(row) for row in stored.values() if row.rule_id not in _BY_ID]


async def get(connection: AsyncConnection, rule_id: str) -> Rule | None:
    """Return one rule."""
    found = [each for each in await every(connection) if each.rule_id == rule_id]
    return found[0] if found else None


def built_in(rule_id: str) -> Rule | None:
    """Return a built-in rule as it is without anybody's doing."""
    return _BY_ID.get(rule_id)


def row_of(rule: Rule, *, actor: str, now: datetime) -> dict[str, Any]:
    """Return a rule as the row that is stored."""
    return {
        "rule_id": rule.rule_id,
        "content": wording.plain(rule),
        "created_at": now,
        "created_by": actor,
        "updated_at": now,
    }


def _made(row: sa.Row[Any]) -> Rule:
    rule = wording.rule(row.content, rule_id=row.rule_id)
    return replace(rule, created_by=row.created_by, updated_at=row.updated_at)


def _set(rule: Rule, row: sa.Row[Any] | None) -> Rule:
    if row is None:
        return rule
    return replace(_made(row), is_built_in=True, threshold=rule.threshold, match=rule.match)
