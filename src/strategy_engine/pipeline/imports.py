"""Which modules a strategy may import: a list of names, the parts of them it may not, and why."""

import importlib.util
from collections.abc import Iterable, Sequence

ALLOWED = (
    "__future__",
    "abc",
    "bisect",
    "cmath",
    "collections",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "heapq",
    "itertools",
    "json",
    "math",
    "nautilus_trader",
    "numbers",
    "numpy",
    "operator",
    "pandas",
    "random",
    "scipy",
    "statistics",
    "strategy_engine.signals",
    "talib",
    "typing",
)
# Parts that open files or sockets, run other engines, or call C: refused unless a list names them.
REFUSED = (
    "nautilus_trader.adapters",
    "nautilus_trader.backtest",
    *(
        f"nautilus_trader.core.nautilus_pyo3.{part}"
        for part in ("cryptography", "infrastructure", "live", "network", "persistence")
    ),
    "nautilus_trader.live",
    "nautilus_trader.network",
    "nautilus_trader.persistence",
    "nautilus_trader.serialization",
    "nautilus_trader.system",
    "nautilus_trader.test_kit",
    "numpy.ctypeslib",
    "numpy.distutils",
    "numpy.f2py",
    "numpy.testing",
    "pandas.io",
    "scipy.datasets",
    "scipy.io",
)


def parsed(text: str) -> tuple[str, ...]:
    """Return the module names of a list such as `math, numpy, pandas`.

    Raises
    ------
    ValueError
        If one is no module's name, or there is none.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    wrong = [name for name in names if not all(part.isidentifier() for part in name.split("."))]
    if wrong or not names:
        raise ValueError(
            f"{', '.join(wrong) or text!r} is no list of modules; write them like math,numpy,pandas"
        )
    return names


def refusal(module: str, parts: Iterable[str], allowed: Sequence[str]) -> str:
    """Return why a strategy may not import a module, or parts of it; empty where it may.

    The longest name that holds it decides, so a list may name a part that is refused otherwise.
    """
    named = [f"{module}.{part}" for part in parts]
    if not _is_allowed(module, allowed):
        if named and all(_is_allowed(each, allowed) for each in named):
            return ""
        return _not_allowed(module, allowed)
    for name in (module, *named):
        if not _is_allowed(name, allowed):
            return _not_allowed(name, allowed)
    return _absent(module)


def _is_allowed(module: str, allowed: Sequence[str]) -> bool:
    longest = max((each for each in allowed if _is_inside(module, each)), key=len, default="")
    refused = max((each for each in REFUSED if _is_inside(module, each)), key=len, default="")
    return bool(longest) and len(longest) >= len(refused)


def _is_inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _not_allowed(module: str, allowed: Sequence[str]) -> str:
    return (
        f"imports {module}, which a strategy may not; allowed are {', '.join(allowed)};"
        " the engine gives the strategy its data and the time"
    )


def _absent(module: str) -> str:
    top = module.partition(".")[0]  # finding a part would import what it is a part of
    if importlib.util.find_spec(top) is not None:
        return ""
    return f"imports {top}, which is allowed, but not installed here; install it beside the engine"
