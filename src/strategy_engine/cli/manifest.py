"""What a manifest asks for: versions, how they are deployed, and whether they run. Pure.

What a manifest says of a version becomes requests, so it is judged by the shapes and the rules of
those requests, each problem with the line that it is in.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from strategy_engine.api import models
from strategy_engine.cli import yamlfile
from strategy_engine.core.errors import EngineError
from strategy_engine.matching import settings
from strategy_engine.pipeline import criteria
from strategy_engine.registry import rules
from strategy_engine.registry.model import Content
from strategy_engine.rollout import plans
from strategy_engine.venue import limits

FORMAT = 1
_TOP = ("manifest", "strategies")
_NAMES = (
    "name",
    "version",
    "code",
    "parameters",
    "risk_limits",
    "tests",
    "deploy",
    "run",
    "execution_config",
)
_REQUIRED = ("name", "version", "code")
_FREE: tuple[yamlfile.Path, ...] = (
    ("validation_criteria",),
    ("parameters",),
    ("risk_limits",),
    (),
)
_FIELD = {"strategy_name": "name"}  # of the request, and what a manifest calls it

type Read = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One version as a manifest wants it.

    `deploy` None: it is only registered. `runs` None: whether it runs is left to others.
    """

    content: Content
    deploy: dict[str, Any] | None = field(default_factory=dict)
    runs: bool | None = None
    execution_config: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Return what names a version: its line and its number."""
        return self.content.strategy_name, self.content.version


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """What is wrong in a line."""

    line: int
    message: str


class ManifestError(EngineError):
    """A manifest that cannot be carried out. `problems` are all that is wrong, by line."""

    kind = "invalid"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"line {each.line}: {each.message}" for each in problems))
        self.problems = problems


def read(text: str, read_file: Read) -> list[Wanted]:
    """Return what a manifest wants, in its order.

    Parameters
    ----------
    read_file : callable
        Returns the text of a file that the manifest names, or raises an `EngineError`.

    Raises
    ------
    ManifestError
        With every problem that was found.
    """
    try:
        document = yamlfile.read(text)
    except yamlfile.YamlError as error:
        raise ManifestError([Problem(line=error.line, message=str(error))]) from None
    reader = _Reader(document=document, read_file=read_file)
    found = reader.manifest()
    if reader.problems:
        raise ManifestError(sorted(set(reader.problems)))
    return found


@dataclass(slots=True, kw_only=True)
class _Reader:
    document: yamlfile.Document
    read_file: Read
    problems: list[Problem] = field(default_factory=list)

    def manifest(self) -> list[Wanted]:
        top = self.document.value
        if not isinstance(top, dict):
            self._say((), "a manifest is a mapping with `manifest: 1` and `strategies:`")
            return []
        self._names(top, _TOP, ())
        if top.get("manifest") != FORMAT:
            self._say(("manifest",), f"it must begin with `manifest: {FORMAT}`, its format")
        entries = top.get("strategies")
        if not isinstance(entries, list) or not entries:
            self._say(("strategies",), "strategies must be a list of versions")
            return []
        read = [self._entry(each, at) for at, each in enumerate(entries)]
        found = [(at, each) for at, each in enumerate(read) if each is not None]
        self._refuse_contradictions(found)
        return [each for _, each in found]

    def _entry(self, entry: Any, at: int) -> Wanted | None:
        path: yamlfile.Path = ("strategies", at)
        if not isinstance(entry, dict):
            self._say(path, f"strategies holds versions, each with {', '.join(_REQUIRED)}")
            return None
        before = len(self.problems)
        self._names(entry, _NAMES, path)
        missing = [name for name in _REQUIRED if name not in entry]
        if missing:
            self._say(path, f"{', '.join(missing)} is missing")
            return None
        content = self._content(entry, path)
        deploy = self._deploy(entry.get("deploy", {}), (*path, "deploy"))
        runs = self._runs(entry.get("run"), deploy, (*path, "run"))
        config = self._execution_config(entry, path)
        if content is None or len(self.problems) > before:
            return None
        return Wanted(content=content, deploy=deploy, runs=runs, execution_config=config)

    def _content(self, entry: dict[str, Any], path: yamlfile.Path) -> Content | None:
        code = self._file(entry["code"], (*path, "code"))
        tests = self._tests(entry.get("tests"), (*path, "tests"))
        if code is None or tests is None:
            return None
        given = {
            "strategy_name": entry["name"],
            "version": entry["version"],
            "code": code,
            "parameters": entry.get("parameters") or {},
            "risk_limits": entry.get("risk_limits") or {},
            "tests": tests,
        }
        shape = self._shaped(models.CreateStrategy, given, path)
        if shape is None:
            return None
        content = Content(**shape.model_dump())
        self._judged(lambda: rules.check(content), path)
        self._judged(lambda: _check_trading(content), path)
        return content

    def _tests(self, given: Any, path: yamlfile.Path) -> dict[str, str] | None:
        if given is None:
            return {}
        if not isinstance(given, list):
            self._say(path, "tests is a list of files")
            return None
        found: dict[str, str] = {}
        for at, name in enumerate(given):
            text = self._file(name, (*path, at))
            if text is None:
                return None
            short = name.rpartition("/")[2]
            if short in found:
                self._say((*path, at), f"two test files are called {short}")
            found[short] = text
        return found

    def _file(self, name: Any, path: yamlfile.Path) -> str | None:
        if not isinstance(name, str) or not name.strip():
            self._say(path, f"{_shown(path)} is a file's path, from the manifest's folder")
            return None
        return self._judged(lambda: self.read_file(name), path)

    def _deploy(self, given: Any, path: yamlfile.Path) -> dict[str, Any] | None:
        if given is False:
            return None
        if given is True or given is None:
            return {}
        if not isinstance(given, dict):
            self._say(path, "deploy is true, false, or how it is deployed")
            return None
        shape = self._shaped(models.Deploy, given, path)
        if shape is None:
            return None
        chosen = given.get("validation_criteria", {}), shape.model_dump()["validation_profile"]
        self._judged(lambda: criteria.criteria(*chosen), path)
        self._judged(lambda: plans.plan(shape.options(), (), replaces=True), path)
        return dict(given)

    def _runs(self, given: Any, deploy: dict[str, Any] | None, path: yamlfile.Path) -> bool | None:
        match given:
            case None:
                return None
            case bool() as runs:
                if runs and deploy is None:
                    self._say(path, "what is not deployed cannot run; leave `deploy: false` out")
                return runs
            case _:
                self._say(path, "run is true or false; left out, others start and stop it")
                return None

    def _execution_config(self, entry: dict[str, Any], path: yamlfile.Path) -> dict[str, Any]:
        given, path = entry.get("execution_config"), (*path, "execution_config")
        if given is None:
            return {}
        if self._shaped(models.ExecutionConfig, given, path) is None:
            return {}
        if entry.get("run") is not True:
            self._say(path, "execution_config is for `run: true`; nothing here would start it")
        return dict(given)

    def _refuse_contradictions(self, found: list[tuple[int, Wanted]]) -> None:
        seen: set[tuple[str, str]] = set()
        running: dict[str, str] = {}
        for at, each in found:
            (name, version), path = each.key, ("strategies", at)
            if each.key in seen:
                self._say((*path, "version"), f"{name} {version} is given twice")
            seen.add(each.key)
            if each.runs and (other := running.setdefault(name, version)) != version:
                self._say(
                    (*path, "run"),
                    f"{name} {other} is to run already; one version of a line runs at a time",
                )

    def _shaped[S: BaseModel](self, shape: type[S], given: Any, path: yamlfile.Path) -> S | None:
        try:
            return shape.model_validate(given)
        except ValidationError as error:
            for message, place in _places(error):
                self._say((*path, *place), message)
            return None

    def _judged[T](self, judge: Callable[[], T], path: yamlfile.Path) -> T | None:
        try:
            return judge()
        except EngineError as error:
            self._say((*path, *_place_of(error, self.document, path)), str(error))
            return None

    def _names(self, given: dict[str, Any], known: tuple[str, ...], path: yamlfile.Path) -> None:
        for name in given:
            if name not in known:
                self._say((*path, name), f"there is no {name}; there are {', '.join(known)}")

    def _say(self, path: yamlfile.Path, message: str) -> None:
        self.problems.append(Problem(line=self.document.line_of(path), message=message))


def _check_trading(content: Content) -> None:
    limits.parse(content.risk_limits, names=limits.OWN, tolerant=True)
    settings.settings(content.parameters, content.risk_limits, {}, is_native=content.is_native)


def _places(error: ValidationError) -> Iterator[tuple[str, yamlfile.Path]]:
    for each in error.errors(include_url=False, include_input=False):
        facts: Mapping[str, Any] = each.get("ctx") or {}
        names = [_FIELD.get(str(name), name) for name in each["loc"]]
        unknown = facts.get("field") if each["type"] == "unknown_field" else None
        place = (*names, str(unknown)) if unknown is not None else tuple(names)
        told = f"{_shown(place)}: " if place else ""
        hint = "; quote it" if each["type"] == "string_type" else ""
        yield f"{told}{each['msg']}{hint}", place


def _place_of(
    error: EngineError, document: yamlfile.Document, path: yamlfile.Path
) -> yamlfile.Path:
    """Return where below `path` the field stands that an error names, if it does."""
    first, *others = str(error.facts.get("field")).split(".")
    name = (_FIELD.get(first, first), *(int(each) if each.isdecimal() else each for each in others))
    places: list[yamlfile.Path] = [(*each, *name) for each in _FREE]
    return next((each for each in places if (*path, *each) in document.lines), ())


def _shown(path: yamlfile.Path) -> str:
    inside = path[2:] if path[:1] == ("strategies",) else path
    return ".".join(map(str, inside))
