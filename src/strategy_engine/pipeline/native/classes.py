"""The strategy and config classes of a native strategy's source, as its text names them. Pure."""

import ast
from collections.abc import Iterable, Iterator, Mapping

from strategy_engine.pipeline import misuse
from strategy_engine.pipeline.model import Level
from strategy_engine.registry import source

_ROOT = "nautilus_trader."
_RUST = "nautilus_trader.core.nautilus_pyo3."
_SHIPPED = "nautilus_trader.examples."
_BASE = "nautilus_trader.trading.Strategy"


def find(tree: ast.Module) -> Iterator[tuple[int, Level, str]]:
    """Yield what is wrong with the classes: there must be one strategy that is no other's base."""
    classes = defined(tree)
    lines = {name: _bases(each, classes, _names(tree)) for name, each in classes.items()}
    found = [name for name, bases in lines.items() if any(map(_is_strategy, bases))]
    leaves = [name for name in found if not any(name in lines[other] for other in found)]
    if not leaves and not _has_star(tree):
        yield _none_found(classes, lines)
    for name in leaves[1:]:
        names = ", ".join(leaves)
        message = f"{len(leaves)} classes are strategies ({names}); keep exactly one"
        yield classes[name].lineno, Level.ERROR, message
    if leaves:
        yield from _signals(tree, {name: classes[name] for name in classes if name not in found})


def defined(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """Return the classes of a module by name, those behind a condition too."""
    return {node.name: node for node in _top_level(tree.body) if isinstance(node, ast.ClassDef)}


def config_fields(tree: ast.Module, class_name: str) -> list[str]:
    """Return the fields of the config that a strategy takes, or its constructor's arguments."""
    classes = defined(tree)
    own = classes.get(class_name)
    arguments = _constructor_arguments(own) if own is not None else []
    wanted = [_annotation(each) for each in arguments] + [f"{class_name}Config"]
    for name in wanted:
        if name in classes:
            return _fields(classes[name])
    configs = [each for name, each in classes.items() if name.endswith("Config")]
    if len(configs) == 1:
        return _fields(configs[0])
    return [each.arg for each in arguments]


def _signals(
    tree: ast.Module, others: Mapping[str, ast.ClassDef]
) -> Iterator[tuple[int, Level, str]]:
    # What the strategy uses is its own affair; a class that nobody uses was meant to run.
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for name, node in others.items():
        if name not in used and source.METHOD in _methods(node):
            message = (
                f"{name} has {source.METHOD}, and another class is a NautilusTrader strategy; a"
                " version is the one or the other: keep exactly one"
            )
            yield node.lineno, Level.ERROR, message


def _methods(node: ast.ClassDef) -> set[str]:
    return {
        each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _top_level(
                each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)
            )


def _none_found(
    classes: Mapping[str, ast.ClassDef], lines: Mapping[str, set[str]]
) -> tuple[int, Level, str]:
    for name, bases in lines.items():
        if any(each.startswith(_RUST) and each.endswith(".Strategy") for each in bases):
            message = (
                f"{name}: strategies on nautilus_trader.core.nautilus_pyo3 run in NautilusTrader's"
                f" own engine in Rust only; derive from {_BASE}"
            )
            return classes[name].lineno, Level.ERROR, message
    names = ", ".join(classes) or "none"
    message = f"no class derives from {_BASE}; classes defined here: {names}; write exactly one"
    return 0, Level.ERROR, message


def _is_strategy(base: str) -> bool:
    if not base.startswith(_ROOT) or base.startswith(_RUST) or base.endswith("Config"):
        return False
    return base.endswith(".Strategy") or base.startswith(_SHIPPED)


def _names(tree: ast.Module) -> dict[str, str]:
    return misuse.imported_names(list(ast.walk(tree)))


def _bases(
    node: ast.ClassDef, classes: Mapping[str, ast.ClassDef], names: dict[str, str]
) -> set[str]:
    # The names of all its bases: of classes defined here by name, of imported ones by path.
    waiting, found = list(node.bases), set[str]()
    while waiting:
        base = waiting.pop()
        if isinstance(base, ast.Subscript):
            waiting.append(base.value)
        elif isinstance(base, ast.Name) and base.id in classes and base.id != node.name:
            if base.id not in found:
                found.add(base.id)
                waiting += classes[base.id].bases
        elif (path := misuse.path_of(base, names)) is not None:
            found.add(path)
    return found


def _has_star(tree: ast.Module) -> bool:
    return any(
        each.name == "*"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    )


def _constructor_arguments(node: ast.ClassDef) -> list[ast.arg]:
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            given = each.args
            return [*given.posonlyargs, *given.args][1:] + given.kwonlyargs
    return []


def _annotation(argument: ast.arg) -> str:
    note = argument.annotation
    if isinstance(note, ast.Constant):
        return str(note.value)
    return note.id if isinstance(note, ast.Name) else ""


def _fields(node: ast.ClassDef) -> list[str]:
    return [
        each.target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    ]
