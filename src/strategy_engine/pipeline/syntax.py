"""What can be seen in the source without running it. A courtesy with line numbers, not a wall."""

import ast
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence

from strategy_engine.pipeline import imports, misuse
from strategy_engine.pipeline.model import Finding, Level
from strategy_engine.pipeline.native import classes as native
from strategy_engine.registry import source
from strategy_engine.registry.source import METHOD

_TIME = {
    source.Kernel.SIGNAL: "market_data['time'], the close of the last bar",
    source.Kernel.NATIVE: "self.clock, which follows the data",
}
_SHOWN = 200  # characters of a line
_MOST = 50  # findings
_WARNINGS = threading.Lock()  # warning filters belong to the whole process


def check(code: str, allowed: Sequence[str] = imports.ALLOWED) -> list[Finding]:
    """Return everything that is wrong, or worth a look, in a strategy's source; in line order.

    Parameters
    ----------
    allowed : sequence of str
        The modules that it may import.
    """
    lines = code.splitlines()
    try:
        tree, noticed = _parse(code)
    except SyntaxError as error:
        return [_syntax_finding(error, lines)]
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        return [Finding(level=Level.ERROR, message=f"the code cannot be parsed: {reason}")]
    nodes = list(ast.walk(tree))
    kernel = source.kernel_of(code)
    found = [
        *noticed,
        *_import_findings(nodes, allowed),
        *_use_findings(nodes, _TIME[kernel]),
        *(native.find(tree) if kernel is source.Kernel.NATIVE else _class_findings(tree)),
    ]
    numbered = sorted(found, key=lambda each: each[0] or len(lines) + 1)
    return [_finding(level, line, message, lines) for line, level, message in numbered[:_MOST]]


def class_arguments(code: str, class_name: str) -> list[str]:
    """Return what a class is made with as its source names it: arguments, or config fields."""
    if source.kernel_of(code) is source.Kernel.NATIVE:
        return native.config_fields(ast.parse(code), class_name)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            method = _method(node, "__init__")
            if method is not None:
                arguments = method.args
                named = [*arguments.posonlyargs, *arguments.args][1:] + arguments.kwonlyargs
                return [each.arg for each in named]
    return []


type _Found = tuple[int, Level, str]


def _parse(code: str) -> tuple[ast.Module, list[_Found]]:
    with _WARNINGS, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree = ast.parse(code, filename="<strategy>")
    return tree, [(each.lineno, Level.WARNING, str(each.message)) for each in caught]


def _syntax_finding(error: SyntaxError, lines: list[str]) -> Finding:
    line = error.lineno or 0
    text = (error.text or _text(lines, line)).strip()[:_SHOWN]
    column = f", column {error.offset}" if error.offset else ""
    return Finding(
        level=Level.ERROR,
        message=f"line {line}{column}: {error.msg}; mend this line: {text}",
        where=f"line {line}: {text}",
    )


def _finding(level: Level, line: int, message: str, lines: list[str]) -> Finding:
    if not line:
        return Finding(level=level, message=message)
    return Finding(
        level=level, message=f"line {line}: {message}", where=f"line {line}: {_text(lines, line)}"
    )


def _text(lines: list[str], line: int) -> str:
    return lines[line - 1].strip()[:_SHOWN] if 0 < line <= len(lines) else ""


def _use_findings(nodes: list[ast.AST], time: str) -> Iterator[_Found]:
    for line, is_wrong, message in misuse.find(nodes, time=time):
        yield line, Level.ERROR if is_wrong else Level.WARNING, message


def _import_findings(nodes: Iterable[ast.AST], allowed: Sequence[str]) -> Iterator[_Found]:
    for line, module, parts in _imports(nodes):
        if why := imports.refusal(module, parts, allowed):
            yield line, Level.ERROR, why


def _imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str, list[str]]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, each.name, []) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield node.lineno, module, [each.name for each in node.names]


def _class_findings(tree: ast.Module) -> Iterator[_Found]:
    classes = native.defined(tree)
    found = [each for each in classes.values() if _inherited(each, classes) is not None]
    if not found:
        names = ", ".join(classes) or "none"
        message = (
            f"no class has {METHOD}(self, market_data); classes defined here: {names}; add the"
            " method to exactly one class"
        )
        yield 0, Level.ERROR, message
    for each in found[1:]:
        names = ", ".join(one.name for one in found)
        message = f"{len(found)} classes have {METHOD} ({names}); keep exactly one"
        yield each.lineno, Level.ERROR, message
    if len(found) == 1:
        method = _inherited(found[0], classes)
        if method is not None and (why := _wrong_signature(method)):
            message = f"{METHOD} {why}; write def {METHOD}(self, market_data)"
            yield method.lineno, Level.ERROR, message


type _Method = ast.FunctionDef | ast.AsyncFunctionDef


def _method(node: ast.ClassDef, name: str) -> _Method | None:
    for each in node.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name == name:
            return each
    return None


def _inherited(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> _Method | None:
    waiting, seen = [node], set[str]()
    while waiting:
        each = waiting.pop(0)
        if (method := _method(each, METHOD)) is not None:
            return method
        seen.add(each.name)
        bases = [base.id for base in each.bases if isinstance(base, ast.Name)]
        waiting += [classes[name] for name in bases if name in classes and name not in seen]
    return None


def _wrong_signature(method: _Method) -> str:
    if isinstance(method, ast.AsyncFunctionDef):
        return "is async; the engine calls it and takes its answer"
    decorators = {each.id for each in method.decorator_list if isinstance(each, ast.Name)}
    if decorators & {"staticmethod", "classmethod", "property"}:
        return f"is a {', '.join(sorted(decorators))}"
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(method)):
        return "is a generator; it must return its decision"
    arguments = method.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    takes_two = required <= 2 <= len(positional) or (arguments.vararg and required <= 2)  # noqa: PLR2004  (self and market_data)
    if not takes_two:
        taken = ", ".join(each.arg for each in positional) or "nothing"
        return f"takes ({taken})"
    needed = [
        each.arg
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    return f"needs {', '.join(needed)} by keyword, which nobody gives" if needed else ""
