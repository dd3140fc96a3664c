"""A YAML file as plain values that know their lines. Pure.

Scalars are read by YAML 1.2's core rules, not 1.1's: `no` and `on` are texts, `1e-3` is a number,
`010` is ten, and a date is the text that it looks like.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml  # type: ignore[import-untyped]  # its types are a package of their own

from strategy_engine.core.errors import InvalidError

type Path = tuple[str | int, ...]

LONGEST = 1 << 20
DEEPEST = 32
MOST_VALUES = 100_000
_MERGE = "<<"
_TAGS = frozenset(f"tag:yaml.org,2002:{each}" for each in ("str", "seq", "map"))
_LONGEST_NUMBER = 30

_NULL = re.compile(r"(?:~|null|Null|NULL|)")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)")
_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a file holds, and the line that each value, or the name of it, begins in."""

    value: Any
    lines: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """Return the line of a value, or of the nearest one that it would stand in."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class YamlError(InvalidError):
    """A text that cannot be read as plain values. `line` is where."""

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(message)
        self.line = line


def read(text: str) -> Document:
    """Return the one document of a text.

    Raises
    ------
    YamlError
        If it is no YAML, repeats a name, or holds what no JSON could.
    """
    if len(text) > LONGEST:
        raise YamlError(f"it has {len(text):,} characters; the most is {LONGEST:,}", line=1)
    try:
        node = yaml.compose(text, yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(
            f"it is no YAML: {error.problem or error.context}",
            line=1 if mark is None else mark.line + 1,
        ) from None
    except yaml.YAMLError as error:
        raise YamlError(f"it is no YAML: {error}", line=1) from None
    except RecursionError:
        raise YamlError(f"it has more than {DEEPEST} levels", line=1) from None
    reader = _Reader()
    value = None if node is None else reader.value(node, ())
    return Document(value=value, lines=reader.lines)


@dataclass(slots=True)
class _Reader:
    lines: dict[Path, int] = field(default_factory=dict)
    seen: int = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.seen += 1
        if self.seen > MOST_VALUES or len(path) > DEEPEST:  # an alias may repeat, or hold itself
            raise _error(node, f"more than {MOST_VALUES:,} values, or {DEEPEST} levels of them")
        if node.tag not in _TAGS:
            raise _error(node, f"the tag {node.tag} is not understood")
        self.lines.setdefault(path, _line(node))
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self.value(each, (*path, at)) for at, each in enumerate(node.value)]
            case _:
                return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key, each in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error(key, "a name must be a text")
            if key.value == _MERGE and not key.style:
                merged += each.value if isinstance(each, yaml.SequenceNode) else [each]
                continue
            if key.value in found:
                raise _error(key, f"{key.value} is given twice")
            self.lines[(*path, key.value)] = _line(key)
            found[key.value] = self.value(each, (*path, key.value))
        for each in merged:
            if not isinstance(each, yaml.MappingNode):
                raise _error(each, f"{_MERGE} takes the names and values of a mapping")
            for name, value in self._mapping(each, path).items():
                found.setdefault(name, value)
        return found


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style:
        return text  # quoted, or a block
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return _integer(node)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NO_NUMBER.fullmatch(text):
        raise _error(node, f"{text} is no finite number")
    return text


def _integer(node: yaml.ScalarNode) -> int:
    text: str = node.value
    if len(text) > _LONGEST_NUMBER:
        raise _error(node, f"an integer of {len(text):,} digits")
    return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1


def _error(node: yaml.Node, message: str) -> YamlError:
    return YamlError(message, line=_line(node))
