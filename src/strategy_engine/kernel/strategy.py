"""From source text to instances: compile, find the class, bind the parameters."""

import inspect
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from strategy_engine.kernel import failures, indicators, signal, window
from strategy_engine.kernel.failures import ContractError
from strategy_engine.matching.settings import ENGINE_PARAMETERS

MODULE = "strategy"  # what the code is called: `import strategy` in the user's tests
METHOD = "generate_signal"
HOOKS = ("on_start", "on_fill", "on_stop", "save_state", "load_state")
_REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """A strategy class with its arguments: everything that a fresh instance needs."""

    code: str
    kind: type
    arguments: dict[str, Any]
    parameters: dict[str, Any]
    lookback: int
    unbound: list[str]
    flags: dict[str, Any] = field(default_factory=dict)

    @property
    def hooks(self) -> list[str]:
        """Return the optional hooks that the class defines."""
        return [name for name in HOOKS if callable(getattr(self.kind, name, None))]

    @property
    def line(self) -> int:
        """Return the line of the code where `generate_signal` starts."""
        code = getattr(getattr(self.kind, METHOD), "__code__", None)
        return code.co_firstlineno if isinstance(code, types.CodeType) else 1

    def again(self) -> "Blueprint":
        """Return the same from code run afresh: nothing kept in its classes or module survives."""
        return blueprint(self.code, self.parameters, lookback=self.lookback, flags=self.flags)

    def construct(self) -> Any:
        """Return a fresh instance."""
        with failures.reported(failures.CONSTRUCT):
            return self.kind(**self.arguments)


def blueprint(
    code: str,
    parameters: Mapping[str, Any],
    *,
    lookback: int | None = None,
    flags: Mapping[str, Any] = types.MappingProxyType({}),
) -> Blueprint:
    """Compile a strategy's code, find its class and bind the parameters.

    Raises
    ------
    StrategyFailedError
        In phase compile or construct.
    """
    module = load(code)
    with failures.reported(failures.COMPILE):
        kind = find_class(module)
    with failures.reported(failures.CONSTRUCT):
        arguments, unbound = bind(kind, parameters)
        return Blueprint(
            code=code,
            kind=kind,
            arguments=arguments,
            parameters=dict(parameters),
            lookback=_lookback(kind, parameters, lookback),
            unbound=unbound,
            flags=dict(flags),
        )


def load(code: str) -> types.ModuleType:
    """Run the code as a module that has the indicators and `Signal` without an import."""
    failures.register(failures.STRATEGY_FILE, code)
    module = types.ModuleType(MODULE)
    module.__dict__.update({name: getattr(indicators, name) for name in indicators.NAMES})
    module.__dict__["Signal"] = signal.Signal
    sys.modules[MODULE] = module  # dataclasses and type hints look their module up there
    with failures.reported(failures.COMPILE):
        compiled = compile(code, failures.STRATEGY_FILE, "exec", dont_inherit=True)
        exec(compiled, module.__dict__)  # noqa: S102  (what this process is confined for)
    return module


def find_class(module: types.ModuleType) -> type:
    """Return the one class defined in the module that has `generate_signal`.

    Raises
    ------
    ContractError
        If there is none, or more than one; it says what was found.
    """
    own = [
        value
        for value in dict.fromkeys(_classes(module.__dict__.values()))
        if value.__module__ == MODULE
    ]
    found = [kind for kind in own if callable(getattr(kind, METHOD, None))]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(kind.__name__ for kind in found)
        raise ContractError(f"{len(found)} classes have {METHOD} ({names}); keep exactly one")
    names = ", ".join(kind.__name__ for kind in own) or "none"
    raise ContractError(f"no class has {METHOD}(self, market_data); classes defined here: {names}")


def bind(kind: type, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the constructor's arguments, and the parameters that nobody takes.

    Raises
    ------
    ContractError
        If a required argument is missing, or a value does not fit its annotation.
    """
    accepted = _signature(kind).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in accepted.values())
    named = {
        name: each
        for name, each in accepted.items()
        if each.kind in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}
    }
    missing = [
        name for name, each in named.items() if each.default is _REQUIRED and name not in parameters
    ]
    if missing:
        raise ContractError(
            f"{kind.__name__} needs {', '.join(missing)}, which the parameters do not give"
        )
    arguments = {
        name: _fitted(name, value, named[name].annotation) if name in named else value
        for name, value in parameters.items()
        if name in named or takes_all
    }
    unbound = [n for n in parameters if n not in arguments and n not in ENGINE_PARAMETERS]
    return arguments, unbound


def _classes(values: Iterable[object]) -> list[type]:
    return [value for value in values if isinstance(value, type)]


def _signature(kind: type) -> inspect.Signature:
    try:
        return inspect.signature(kind, eval_str=True)
    except (AttributeError, NameError, SyntaxError, TypeError):
        return inspect.signature(kind)  # its annotations do not evaluate: they are then not checked


def _fitted(name: str, value: Any, annotation: Any) -> Any:
    if annotation is _REQUIRED or isinstance(annotation, str):
        return value
    try:
        return msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        raise ContractError(f"parameter {name} is {value!r}: {error}") from error
    except TypeError:
        return value  # an annotation that says nothing about plain values


def _lookback(kind: type, parameters: Mapping[str, Any], given: int | None) -> int:
    value = given
    if value is None:
        value = parameters.get("lookback", getattr(kind, "lookback", window.DEFAULT_LOOKBACK))
    if isinstance(value, bool) or not isinstance(value, int):
        raise ContractError(f"lookback is {value!r}; it must be a whole number of bars")
    if not 1 <= value <= window.MAX_LOOKBACK:
        raise ContractError(f"lookback is {value}; it must be from 1 to {window.MAX_LOOKBACK}")
    return value
