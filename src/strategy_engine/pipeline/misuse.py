"""Uses of imports and builtins that a strategy has no business with: clock, chance, files, code."""

import ast
from collections.abc import Iterable, Iterator

_BUILTINS = {
    "eval": "runs text as code",
    "exec": "runs text as code",
    "compile": "makes code of text",
    "__import__": "imports past the allow-list",
    "open": "opens files",
    "input": "waits for a keyboard",
    "breakpoint": "starts a debugger",
}
_CLOCK = (
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
)
_NUMPY_FILES = frozenset(
    f"numpy.{name}"
    for name in (
        "fromfile",
        "genfromtxt",
        "load",
        "loadtxt",
        "memmap",
        "save",
        "savetxt",
        "savez",
        "savez_compressed",
    )
)
# Fine with a seed as the first argument, a source of chance without.
_SEEDABLE = frozenset(
    {
        "random.Random",
        "random.seed",
        "numpy.random.default_rng",
        "numpy.random.RandomState",
        "numpy.random.SeedSequence",
        "numpy.random.seed",
        "numpy.random.PCG64",
        "numpy.random.MT19937",
        "numpy.random.Philox",
        "numpy.random.SFC64",
    }
)
_NOT_CHANCE = frozenset({"numpy.random.Generator", "numpy.random.BitGenerator"})
# Doors from any object into the interpreter, and from there to everything that is loaded.
_INTERPRETER = frozenset(
    {
        "__builtins__",
        "__closure__",
        "__code__",
        "__globals__",
        "__import__",
        "__loader__",
        "__reduce_ex__",
        "__spec__",
        "__subclasses__",
        "cr_frame",
        "f_back",
        "f_builtins",
        "f_globals",
        "f_locals",
        "gi_frame",
        "tb_frame",
    }
)
# Modules that others have loaded: `dataclasses.sys` is sys, allowed or not.
_MODULES = frozenset(
    {
        "builtins",
        "ctypes",
        "importlib",
        "inspect",
        "modules",
        "os",
        "pickle",
        "posix",
        "shutil",
        "socket",
        "subprocess",
        "sys",
        "threading",
    }
)


def find(nodes: list[ast.AST], *, time: str) -> Iterator[tuple[int, bool, str]]:
    """Yield what a strategy may not use, or should not: its line, whether it is wrong, and why.

    Parameters
    ----------
    time : str
        Where a strategy finds the time instead of on the wall.
    """
    names = imported_names(nodes)
    calls = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
    seeded = _seeded_modules(calls.values(), names)
    assigned = names.keys() | set(_own_names(nodes))
    for node in nodes:
        for line, name in _reached(node):
            message = f"reaches into the interpreter by {name}, which a strategy may not"
            yield line, True, message
        if isinstance(node, ast.Name) and node.id in _BUILTINS and node.id not in assigned:
            message = f"{node.id} {_BUILTINS[node.id]}, which a strategy may not"
            yield node.lineno, True, message
        if isinstance(node, ast.Attribute | ast.Name):
            path = path_of(node, names)
            if path is not None and (message := _misuse(path, calls.get(id(node)), seeded, time)):
                yield node.lineno, True, message


def _reached(node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.Attribute(attr=name) if name in _INTERPRETER:
            yield node.lineno, name
        case ast.Attribute(attr=name, value=value) if _is_module(name) and not _is_own(value):
            yield node.lineno, name
        case ast.ImportFrom(names=parts):
            yield from ((node.lineno, each.name) for each in parts if _is_module(each.name))
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
            if name in _INTERPRETER or _is_module(name):
                yield node.lineno, name
        case _:
            return


def _is_module(name: str) -> bool:
    return name.removeprefix("_") in _MODULES


def _is_own(node: ast.AST) -> bool:
    # An attribute of the strategy's own may be called what it likes.
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def _own_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg


def imported_names(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Return what each imported name stands for, as a dotted path."""
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.partition(".")[0]
                names[each.asname or top] = each.name if each.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for each in node.names:
                names[each.asname or each.name] = f"{node.module}.{each.name}"
    return names


def path_of(node: ast.AST, names: dict[str, str]) -> str | None:
    """Return the dotted path that an expression stands for; None where nothing imported leads."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    return ".".join([names[node.id], *reversed(parts)])


def _seeded_modules(calls: Iterable[ast.Call], names: dict[str, str]) -> set[str]:
    paths = (path_of(call.func, names) for call in calls if _has_seed(call))
    return {path.removesuffix(".seed") for path in paths if path and path.endswith(".seed")}


def _has_seed(call: ast.Call | None) -> bool:
    if call is None:
        return False
    given = [*call.args, *(each.value for each in call.keywords)]
    return bool(given) and not (isinstance(given[0], ast.Constant) and given[0].value is None)


def _misuse(path: str, call: ast.Call | None, seeded: set[str], time: str) -> str:
    if path in _CLOCK or _is_now(path, call):
        return f"{path} reads the wall clock; use {time}"
    if path in _NUMPY_FILES:
        return f"{path} touches files, which a strategy may not"
    module = "numpy.random" if path.startswith("numpy.random.") else "random"
    if not path.startswith(f"{module}.") or path in _NOT_CHANCE:
        return ""
    if path == "random.SystemRandom" or (path in _SEEDABLE and not _has_seed(call)):
        return f"{path} without a seed decides differently every time; give it one: {path}(42)"
    if path in _SEEDABLE or module in seeded:
        return ""
    return (
        f"{path} draws unseeded numbers; make a generator of your own with a seed, such as"
        f" {module}.{'default_rng' if module == 'numpy.random' else 'Random'}(42)"
    )


def _is_now(path: str, call: ast.Call | None) -> bool:
    if path != "numpy.datetime64" or call is None or not call.args:
        return False
    first = call.args[0]
    return isinstance(first, ast.Constant) and first.value in {"now", "today"}
