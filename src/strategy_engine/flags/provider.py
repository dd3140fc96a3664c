"""Flags as an OpenFeature provider: the last that was read of them, evaluated in memory.

References
----------
OpenFeature specification, section 2 (providers): https://openfeature.dev/specification/sections/providers
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from strategy_engine.flags import model, rules
from strategy_engine.flags.model import Flag, FlagType, FlagValue, Subject

NAME = "strategy-engine"
CLOSE_NS = "close_ns"
_ATTRIBUTES = ("strategy_id", "strategy_name", "version")
_REASONS = {
    model.Reason.DEFAULT: Reason.DEFAULT,
    model.Reason.RULE: Reason.TARGETING_MATCH,
    model.Reason.SHARE: Reason.SPLIT,
    model.Reason.ENDED: Reason.DISABLED,
}


class Provider(AbstractProvider):
    """Answers from the flags it was given last. While they cannot be read, it goes on with them.

    The targeting key is the execution's id; `strategy_id`, `strategy_name`, `version` and
    `close_ns` (the decision's bar) are attributes. What is not told does not match.

    Parameters
    ----------
    now : callable
        Tells which flags have expired.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now
        self._flags: Mapping[str, Flag] | None = None
        self.is_stale = False

    @property
    def is_ready(self) -> bool:
        """Whether flags were ever read."""
        return self._flags is not None

    def take(self, flags: Iterable[Flag]) -> None:
        """Answer from these flags from now on."""
        found = {flag.key: flag for flag in flags}
        was_ready, before = self.is_ready and not self.is_stale, self._flags
        self._flags, self.is_stale = found, False
        if not was_ready:
            self.emit_provider_ready(ProviderEventDetails())
        elif found != before:
            self.emit_provider_configuration_changed(ProviderEventDetails())

    def go_stale(self, why: str) -> None:
        """Go on with what was read last, and say so."""
        if self.is_ready and not self.is_stale:
            self.is_stale = True
            self.emit_provider_stale(ProviderEventDetails(message=why))

    def values(self, subject: Subject, close_ns: int) -> dict[str, FlagValue]:
        """Return what every flag says to one decision."""
        now = self._now()
        return {
            key: rules.evaluate(flag, subject, close_ns=close_ns, now=now).value
            for key, flag in (self._flags or {}).items()
        }

    # -- OpenFeature's own interface

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata(name=NAME)

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: FBT001  (OpenFeature's signature)
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Return what a boolean flag says."""
        return self._resolve(flag_key, FlagType.BOOLEAN, default_value, evaluation_context, bool)

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Return what a string flag says."""
        return self._resolve(flag_key, FlagType.STRING, default_value, evaluation_context, str)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Return what a number flag says, if that is whole."""
        return self._resolve(flag_key, FlagType.NUMBER, default_value, evaluation_context, _whole)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Return what a number flag says."""
        return self._resolve(flag_key, FlagType.NUMBER, default_value, evaluation_context, float)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Return the default: there are no flags of objects."""
        del evaluation_context
        return _failed(default_value, ErrorCode.TYPE_MISMATCH, f"flag {flag_key} is no object")

    def _resolve[T](
        self,
        key: str,
        kind: FlagType,
        default: T,
        context: EvaluationContext | None,
        convert: Callable[[FlagValue], T],
    ) -> FlagResolutionDetails[T]:
        if self._flags is None:
            return _failed(default, ErrorCode.PROVIDER_NOT_READY, "no flags were read yet")
        flag = self._flags.get(key)
        if flag is None:
            return _failed(default, ErrorCode.FLAG_NOT_FOUND, f"there is no flag {key}")
        if flag.content.type is not kind:
            said = f"flag {key} is of type {flag.content.type}, not {kind}"
            return _failed(default, ErrorCode.TYPE_MISMATCH, said)
        found = _asked(flag, context or EvaluationContext(), self._now())
        try:
            value = convert(found.value)
        except ValueError as error:
            return _failed(default, ErrorCode.TYPE_MISMATCH, f"flag {key}: {error}")
        return FlagResolutionDetails(
            value=value,
            reason=Reason.STALE if self.is_stale else _REASONS[found.reason],
            variant=None if found.rule is None else f"rule {found.rule}",
            flag_metadata={"owner": flag.content.owner},
        )


def _asked(flag: Flag, context: EvaluationContext, now: datetime) -> model.Resolved:
    told = context.attributes
    close_ns = told.get(CLOSE_NS)
    subject = Subject(
        execution_id=context.targeting_key or "",
        **{name: str(told.get(name, "")) for name in _ATTRIBUTES},
    )
    bar = close_ns if isinstance(close_ns, int) else None
    return rules.evaluate(flag, subject, close_ns=bar, now=now)


def _whole(value: FlagValue) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value} is no whole number")
    return int(value)


def _failed[T](default: T, code: ErrorCode, message: str) -> FlagResolutionDetails[T]:
    return FlagResolutionDetails(
        value=default, reason=Reason.ERROR, error_code=code, error_message=message
    )
