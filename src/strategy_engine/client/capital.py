"""The shapes of answers about lines, experiments and allocations."""

from typing import Any, Literal, TypedDict


class Member(TypedDict):
    """An execution of a line, and its money."""

    execution_id: str
    strategy_id: str
    version: str
    role: str
    status: str
    weight: float
    capital: float
    capital_target: float | Literal["nothing"] | None
    equity: float
    pnl: float
    positions: dict[str, float]


class Tied(TypedDict):
    """An execution that has ended and still has some of the line's capital."""

    execution_id: str
    strategy_id: str
    version: str
    role: str
    status: str
    capital: float
    positions: dict[str, float]
    closing: str | None


class Flattened(TypedDict):
    """`POST /executions/{id}/flatten`."""

    execution_id: str
    strategy_id: str
    execution_status: str
    closes: bool
    positions: dict[str, float]
    message: str
    dry_run: bool


class Mover(TypedDict):
    """What moves a line's capital."""

    kind: str
    key: str
    status: str


class Line(TypedDict):
    """One line as `GET /lines` lists it."""

    strategy_name: str
    versions: list[str]
    members: list[Member]
    tied: list[Tied]
    capital: float
    equity: float
    moved_by: list[Mover]


class Lines(TypedDict):
    """`GET /lines`."""

    lines: list[Line]
    count: int


class Books(TypedDict):
    """Whether all ledgers of a line agree with all its fills and flows."""

    agrees: bool
    findings: list[str]
    positions: list[dict[str, Any]]
    cash: float
    expected_cash: float
    opened: float
    flowed: float
    fill_count: int


class WholeLine(Line):
    """`GET /lines/{strategy_name}`."""

    shadows: list[Member]
    books: Books


class Allocation(TypedDict):
    """`/lines/{strategy_name}/allocation`."""

    allocation_id: str
    strategy_name: str
    status: str
    message: str
    policy: str
    versions: list[str]
    in_force: dict[str, float]
    slots: dict[str, float]
    changed_today: float
    capital: float
    history: list[dict[str, Any]]


class Arm(TypedDict):
    """One of the two versions of an experiment."""

    version: str
    strategy_id: str
    execution_id: str | None
    weight: float
    symbols: list[str]


class Experiment(TypedDict):
    """One experiment as `GET /experiments` lists it."""

    experiment_id: str
    strategy_name: str
    status: str
    outcome: str | None
    message: str
    hypothesis: str
    unit: str
    planned_pairs: int
    a: Arm
    b: Arm


class Experiments(TypedDict):
    """`GET /experiments`."""

    experiments: list[Experiment]
    count: int
    total: int


class WholeExperiment(Experiment):
    """`GET /experiments/{id}`."""

    pairs: int
    estimate: dict[str, float] | None
    recommendation: str
    reason: str
    findings: list[str]
    history: list[dict[str, Any]]
