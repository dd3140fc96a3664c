"""What a strategy's source says of where it runs: its kernel, and the modules it wants warm. Pure.

A courtesy read of imports and class definitions: what runs in the child is decided there again.
"""

import ast
import warnings
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache

METHOD = "generate_signal"
NAUTILUS = "nautilus_trader"
_SCIENTIFIC = frozenset({"pandas", "scipy"})
_KEPT = 256  # sources whose answer is remembered; a version's code never changes


class Kernel(StrEnum):
    """Which contract a strategy keeps."""

    SIGNAL = "signal"
    NATIVE = "native"


class Warm(StrEnum):
    """Which zygote forks a strategy: what it imports is loaded there once, for all."""

    LEAN = "lean"
    SCIENTIFIC = "scientific"
    NAUTILUS = "nautilus"


def kernel_of(code: str) -> Kernel:
    """Return which contract the code keeps; SIGNAL for what does not parse."""
    return _read(code)[0]


def warm_of(code: str) -> Warm:
    """Return the smallest zygote that has loaded what the code imports."""
    return _read(code)[1]


@lru_cache(maxsize=_KEPT)
def _read(code: str) -> tuple[Kernel, Warm]:
    tree = _parsed(code)
    packages = set(_packages(tree))
    if NAUTILUS in packages:
        is_signal = _has_method(tree) and not _has_strategy(tree)
        return Kernel.SIGNAL if is_signal else Kernel.NATIVE, Warm.NAUTILUS
    return Kernel.SIGNAL, Warm.SCIENTIFIC if packages & _SCIENTIFIC else Warm.LEAN


def _parsed(code: str) -> ast.Module:
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def _packages(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def _has_method(tree: ast.Module) -> bool:
    return any(
        isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name == METHOD
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for each in node.body
    )


def _has_strategy(tree: ast.Module) -> bool:
    # A NautilusTrader strategy may well have a `generate_signal` of its own, or a class with one.
    names = dict(_imported(tree))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    bases = {
        ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    if "*" in names and "Strategy" in bases - own:
        return True
    return any(map(_is_strategy, (_path(base, names) for base in bases)))


def _is_strategy(path: str) -> bool:
    if not path.startswith(f"{NAUTILUS}.") or path.endswith("Config"):
        return False
    return path.endswith(".Strategy") or path.startswith(f"{NAUTILUS}.examples.")


def _path(base: str, names: dict[str, str]) -> str:
    head, dot, rest = base.partition(".")
    return names.get(head, head) + dot + rest


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.asname, each.name) for each in node.names if each.asname)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAUTILUS):
            yield from (
                (each.asname or each.name, f"{node.module}.{each.name}") for each in node.names
            )
