"""From source text to a NautilusTrader strategy: find the class and its config, fill the config."""

import inspect
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo, fields, force_setattr
from nautilus_trader.common.config import msgspec_decoding_hook
from nautilus_trader.config import StrategyConfig
from nautilus_trader.model.data import BarType
from nautilus_trader.model.identifiers import InstrumentId, Venue
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from strategy_engine.kernel import failures
from strategy_engine.kernel.failures import ContractError
from strategy_engine.matching.settings import ENGINE_PARAMETERS

MODULE = "strategy"
HOOKS = ("on_start", "on_bar", "on_stop", "on_save", "on_load", "on_event", "on_order_filled")

# Fields that older configs spell as text: what they mean is in their name.
_TEXT_HABITS: dict[str, type] = {
    "instrument_id": InstrumentId,
    "instrument_ids": InstrumentId,
    "bar_type": BarType,
    "bar_types": BarType,
    "venue": Venue,
}


_CONTAINERS = frozenset({list, tuple, set, frozenset})


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What the engine can fill in by itself: the execution's instruments and their bars."""

    instrument_ids: Sequence[InstrumentId]
    bar_types: Sequence[BarType]

    def known(self, kind: type) -> list[Any]:
        """Return the values of a kind that the engine knows, the first symbol's first."""
        if kind is BarType:
            return list(self.bar_types)
        if kind is InstrumentId:
            return list(self.instrument_ids)
        return list(dict.fromkeys(each.venue for each in self.instrument_ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A strategy class with its arguments: everything that a fresh instance needs."""

    kind: type[Strategy]
    arguments: dict[str, Any]
    bound: list[str]
    unbound: list[str]

    @property
    def hooks(self) -> list[str]:
        """Return the hooks that the class defines itself."""
        return [name for name in HOOKS if getattr(self.kind, name) is not getattr(Strategy, name)]

    def construct(self) -> Strategy:
        """Return a fresh instance."""
        with failures.reported(failures.CONSTRUCT):
            return self.kind(**self.arguments)


def plan(code: str, parameters: Mapping[str, Any], market: Market) -> Plan:
    """Run a strategy's code, find its class and fill its config.

    Raises
    ------
    StrategyFailedError
        In phase compile or construct; it names the class or the field.
    """
    module = load(code)
    with failures.reported(failures.COMPILE):
        kind = find_strategy(module)
        config_kind = find_config(kind, module)
    with failures.reported(failures.CONSTRUCT):
        if config_kind is None:
            accepted = _constructor_as_struct(kind)
            values = _values(accepted, parameters, market)
            return _plan(kind, accepted, parameters, values)
        values = _values(config_kind, parameters, market)
        config = config_kind(**values)
        force_setattr(config, "use_uuid_client_order_ids", False)  # noqa: FBT003  (names repeat)
        return _plan(kind, config_kind, parameters, {_config_name(kind): config})


def load(code: str) -> types.ModuleType:
    """Run the code as a module of its own."""
    failures.register(failures.STRATEGY_FILE, code)
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module  # dataclasses and type hints look their module up there
    with failures.reported(failures.COMPILE):
        compiled = compile(code, failures.STRATEGY_FILE, "exec", dont_inherit=True)
        exec(compiled, module.__dict__)  # noqa: S102  (what this process is confined for)
    return module


def find_strategy(module: types.ModuleType) -> type[Strategy]:
    """Return the one strategy defined in the module; a base of another is not meant.

    Raises
    ------
    ContractError
        If there is none, or more than one; it says what was found.
    """
    own = [kind for kind in _own_classes(module) if issubclass(kind, Strategy)]
    found = [kind for kind in own if not any(kind in other.__mro__[1:] for other in own)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(kind.__name__ for kind in found or _own_classes(module)) or "none"
    if found:
        raise ContractError(f"{len(found)} classes are strategies ({names}); keep exactly one")
    if any(_is_rust(kind) for kind in _own_classes(module)):
        raise ContractError(
            f"{names}: strategies on nautilus_trader.core.nautilus_pyo3 run in NautilusTrader's own"
            " engine in Rust only; derive from nautilus_trader.trading.Strategy"
        )
    raise ContractError(
        f"no class derives from nautilus_trader.trading.Strategy; classes defined here: {names}"
    )


def _is_rust(kind: type) -> bool:
    return any("nautilus_pyo3" in base.__module__ for base in kind.__mro__) or any(
        base.__name__ == "Strategy" and base is not Strategy for base in kind.__mro__[1:]
    )


def find_config(kind: type[Strategy], module: types.ModuleType) -> type[StrategyConfig] | None:
    """Return the config class of a strategy: by its constructor, by name, or the only one.

    None when its constructor takes arguments of its own instead.
    """
    if kind.__init__ is Strategy.__init__:
        return _config_by_name(kind, module)
    accepted = _accepted(kind)
    if not accepted:
        return None
    first = accepted[0]
    for option in _options(_hints(kind).get(first.name)):
        if isinstance(option, type) and issubclass(option, StrategyConfig):
            return option
    is_bare = len(accepted) == 1 and first.annotation is first.empty
    return _config_by_name(kind, module) if is_bare or first.name == "config" else None


def _accepted(kind: type[Strategy]) -> list[inspect.Parameter]:
    listed = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return [each for each in listed if each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}]


def _config_name(kind: type[Strategy]) -> str:
    return "config" if kind.__init__ is Strategy.__init__ else _accepted(kind)[0].name


def _hints(kind: type[Strategy]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind.__init__)
    except (NameError, TypeError, AttributeError):
        return {}  # annotations that do not evaluate say nothing


def _constructor_as_struct(kind: type[Strategy]) -> type[msgspec.Struct]:
    hints = _hints(kind)
    return msgspec.defstruct(
        kind.__name__,
        [(each.name, hints.get(each.name, Any), _default(each)) for each in _accepted(kind)],
        kw_only=True,
    )


def _default(parameter: inspect.Parameter) -> Any:
    return NODEFAULT if parameter.default is parameter.empty else parameter.default


def _config_by_name(kind: type[Strategy], module: types.ModuleType) -> type[StrategyConfig]:
    configs = [each for each in _own_classes(module) if issubclass(each, StrategyConfig)]
    for each in configs:
        if each.__name__ == f"{kind.__name__}Config":
            return each
    if len(configs) == 1:
        return configs[0]
    if not configs:
        return StrategyConfig
    names = ", ".join(each.__name__ for each in configs)
    raise ContractError(
        f"{kind.__name__} may take any of {names}; annotate its argument: def __init__(self,"
        f" config: {configs[0].__name__})"
    )


def _plan(
    kind: type[Strategy],
    accepted: type[msgspec.Struct],
    parameters: Mapping[str, Any],
    arguments: dict[str, Any],
) -> Plan:
    names = {each.name for each in fields(accepted)}
    return Plan(
        kind=kind,
        arguments=arguments,
        bound=[name for name in parameters if name in names],
        unbound=[n for n in parameters if n not in names and n not in ENGINE_PARAMETERS],
    )


def _values(
    accepted: type[msgspec.Struct], parameters: Mapping[str, Any], market: Market
) -> dict[str, Any]:
    named = {each.name: each for each in fields(accepted)}
    given = {n: _fitted(each, parameters[n]) for n, each in named.items() if n in parameters}
    for name, value in given.items():
        _refuse_stranger(name, value, market)
    absent = [each for name, each in named.items() if name not in given]
    return given | _filled_in(accepted, absent, market)


def _refuse_stranger(name: str, value: Any, market: Market) -> None:
    # Most strategies stop without a word when their instrument is not there.
    for each in value if type(value) in _CONTAINERS else [value]:
        wanted = each.instrument_id if isinstance(each, BarType) else each
        if isinstance(wanted, InstrumentId) and wanted not in market.instrument_ids:
            have = ", ".join(map(str, market.instrument_ids))
            raise ContractError(
                f"parameter {name} is {each}, and the strategy's symbols are {have}; give"
                f' {wanted} in the parameter symbols, such as ["{wanted}"]'
            )


def _filled_in(
    accepted: type[msgspec.Struct], absent: Iterable[FieldInfo], market: Market
) -> dict[str, Any]:
    required = [each for each in absent if _is_required(each)]
    kinds = {each.name: _kind_of(each) for each in required}
    values: dict[str, Any] = {}
    missing = [each.name for each in required if kinds[each.name] is None]
    for kind in (InstrumentId, BarType, Venue):
        ones = [each for each in required if kinds[each.name] is kind]
        values |= _shared_out([each for each in ones if not _is_many(each)], market.known(kind))
        values |= {
            each.name: _as_asked(each, market.known(kind)) for each in ones if _is_many(each)
        }
        missing += [each.name for each in ones if each.name not in values]
    if missing:
        raise ContractError(
            f"{accepted.__name__} needs {', '.join(missing)}, which the parameters do not give"
        )
    return values


def _shared_out(ones: list[FieldInfo], known: list[Any]) -> dict[str, Any]:
    # Two legs and two symbols: one each, in order. Two legs and one symbol: nobody can know.
    if len(ones) > len(known):
        return {}
    return {each.name: _as_asked(each, [value]) for each, value in zip(ones, known, strict=False)}


def _as_asked(field: FieldInfo, values: list[Any]) -> Any:
    many = _is_many(field)
    if _is_text(field):
        values = [str(each) for each in values]
    if not many:
        return values[0]
    return many(values)


def _is_required(field: FieldInfo) -> bool:
    return field.default is NODEFAULT and field.default_factory is NODEFAULT


def _kind_of(field: FieldInfo) -> type | None:
    for option in _leaves(field.type):
        if option in {InstrumentId, BarType, Venue}:
            return option  # type: ignore[no-any-return]  # one of three classes
    return _TEXT_HABITS.get(field.name) if _is_text(field) else None


def _is_text(field: FieldInfo) -> bool:
    return set(_leaves(field.type)) <= {str, type(None)}


def _is_many(field: FieldInfo) -> type | None:
    for option in _options(field.type):
        origin = typing.get_origin(option) or option
        if origin in _CONTAINERS:
            return origin  # type: ignore[no-any-return]  # one of four classes
    return None


def _leaves(annotation: Any) -> list[Any]:
    parts = [annotation]
    if typing.get_origin(annotation) in _CONTAINERS:
        parts = [each for each in typing.get_args(annotation) if each is not Ellipsis]
    elif (options := _options(annotation)) != [annotation]:
        parts = options
    return parts if parts == [annotation] else [one for each in parts for one in _leaves(each)]


def _options(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _options(typing.get_args(annotation)[0])
    if origin in {typing.Union, types.UnionType}:
        return [one for each in typing.get_args(annotation) for one in _options(each)]
    return [annotation]


def _fitted(field: FieldInfo, value: Any) -> Any:
    value = _member(field, value)
    try:
        return msgspec.convert(value, field.type, dec_hook=msgspec_decoding_hook)
    except (msgspec.ValidationError, ValueError, TypeError, KeyError) as error:
        raise ContractError(f"parameter {field.name} is {value!r}: {error}") from error


def _member(field: FieldInfo, value: Any) -> Any:
    # "IOC" for TimeInForce: msgspec knows enums by value, people know them by name. And 1000 for
    # a Quantity, which NautilusTrader reads from text.
    for option in _options(field.type):
        if option in {Price, Quantity} and isinstance(value, int | float):
            return str(value)
        if isinstance(value, str) and isinstance(option, type) and issubclass(option, Enum):
            found = option.__members__.get(value.upper())
            if found is not None:
                return found
    return value


def _own_classes(module: types.ModuleType) -> list[type]:
    values = dict.fromkeys(each for each in vars(module).values() if isinstance(each, type))
    return [each for each in values if each.__module__ == MODULE]
