"""A feature flag, its rules, and who asks for its value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

type FlagValue = bool | str | int | float
type Values = Mapping[str, FlagValue]
# Every flag's value for a decision at the close of a bar (ns); None where none was ever read.
type Read = Callable[[int], Values | None]


class FlagType(StrEnum):
    """What kind of value a flag has; it never changes."""

    BOOLEAN = "boolean"
    STRING = "string"
    NUMBER = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A value, and whose it is: everything that is named must hold; nothing named means all.

    Parameters
    ----------
    versions : str or None
        Comparisons with semantic versions that must all hold, such as ``>=1.2.0,<2.0.0``.
    share_of_executions, share_of_decisions : float or None
        A fraction, 0 to 1. All shares of one flag are laid on the same scale from 0, so a larger
        share holds whom a smaller one held, and a second rule's 0.3 behind a first one's 0.1
        leaves 0.2 to the second.
    """

    value: FlagValue
    strategy_name: str | None = None
    strategy_id: str | None = None
    versions: str | None = None
    execution_id: str | None = None
    share_of_executions: float | None = None
    share_of_decisions: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a flag says, and until when; after that, or archived, it says its default."""

    type: FlagType
    default: FlagValue
    owner: str
    expires_at: datetime
    description: str = ""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag by its key. It is never forgotten: code may still ask for it."""

    key: str
    content: Content
    created_at: datetime
    created_by: str
    updated_at: datetime
    archived_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Say whether its rules count; else it says its default."""
        return self.archived_at is None and now < self.content.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose decisions ask for flags: an execution of a version. What is empty matches nothing."""

    execution_id: str
    strategy_id: str
    strategy_name: str
    version: str


class Reason(StrEnum):
    """Why a flag has the value it has."""

    DEFAULT = "default"  # no rule holds, or there is none
    RULE = "rule"  # a rule holds that names whom
    SHARE = "share"  # a rule holds by a share
    ENDED = "ended"  # it is archived or has expired


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A flag's value, why, and by which of its rules (counted from 0)."""

    value: FlagValue
    reason: Reason
    rule: int | None = None
