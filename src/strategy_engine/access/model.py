"""Principals, their roles, and the one table that says what each role may."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from strategy_engine.core.errors import EngineError


class Role(StrEnum):
    """What kind of user a key belongs to."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    TRADER = "trader"
    RISK = "risk"
    ADMIN = "admin"


class Permission(StrEnum):
    """What a request needs."""

    READ = "read"
    WRITE_STRATEGIES = "write_strategies"  # register, edit, archive, test
    DEPLOY = "deploy"  # take a version through the pipeline and to capital
    TRADE = "trade"  # start, stop, pause, resume
    APPROVE = "approve"
    OVERRIDE_RISK = "override_risk"
    MANAGE_ALERTS = "manage_alerts"  # rules, and where alerts are sent
    MANAGE_KEYS = "manage_keys"
    MANAGE_WEBHOOKS = "manage_webhooks"


_P = Permission
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({_P.READ}),
    Role.DEVELOPER: frozenset({_P.READ, _P.WRITE_STRATEGIES, _P.DEPLOY}),
    Role.TRADER: frozenset({_P.READ, _P.DEPLOY, _P.TRADE, _P.APPROVE}),
    Role.RISK: frozenset({_P.READ, _P.TRADE, _P.APPROVE, _P.OVERRIDE_RISK, _P.MANAGE_ALERTS}),
    Role.ADMIN: frozenset(_P),
}


class UnauthorizedError(EngineError):
    """Nobody knows who asks."""

    kind = "unauthorized"


class ForbiddenError(EngineError):
    """Who asks may not do this."""

    kind = "forbidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: a name for the audit, and a role. `is_local`: no key is in use here."""

    name: str
    role: Role
    is_local: bool = False

    def may(self, permission: Permission) -> bool:
        """Say whether its role holds a permission."""
        return permission in PERMISSIONS[self.role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One API key as it is kept: everything but the secret."""

    key_id: str
    name: str
    role: Role
    secret_hash: str
    created_at: datetime
    created_by: str
    revoked_at: datetime | None = None

    @property
    def principal(self) -> Principal:
        """Return who asks with this key."""
        return Principal(name=f"{self.name} ({self.key_id})", role=self.role)


LOCAL = Principal(name="local", role=Role.ADMIN, is_local=True)
ENGINE_KEY = Principal(name="api-key", role=Role.ADMIN)


def require(principal: Principal, permission: Permission) -> None:
    """Let a principal pass who may.

    Raises
    ------
    ForbiddenError
        With the role it has, what is needed, and the roles that hold it.
    """
    if principal.may(permission):
        return
    holders = [role.value for role in Role if permission in PERMISSIONS[role]]
    raise ForbiddenError(
        f"{principal.name} is a {principal.role}, and this needs the permission {permission};"
        f" it is held by the roles {', '.join(holders)}",
        role=principal.role.value,
        permission=permission.value,
        accepted=holders,
    )
