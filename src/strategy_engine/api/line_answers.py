"""The shapes of answers about lines, experiments and allocations."""

from strategy_engine.api import capital_targets, shapes
from strategy_engine.api import example_lines as examples
from strategy_engine.api.answers import HistoryEntry

Numbers = dict[str, shapes.Number]


class Arm(shapes.Answer):
    """One of the two versions; `weight` is its share of the line's capital."""

    version: shapes.Line
    strategy_id: str
    execution_id: str | None
    weight: shapes.Number
    symbols: list[shapes.Line]
    started_for_it: bool


class Experiment(shapes.Answer):
    """An experiment: `status` is starting, running, ending or ended, `outcome` says why it ended.

    Everything from `hypothesis` to `seed` is as it was at the start.
    """

    model_config = shapes.example(examples.EXPERIMENT)

    experiment_id: str
    strategy_name: shapes.Line
    status: str
    outcome: str | None
    message: shapes.Line
    hypothesis: shapes.Text
    metric: str
    margin: shapes.Number
    alpha: shapes.Number
    unit: str
    planned_pairs: int
    seed: int
    capital: shapes.Number
    a: Arm
    b: Arm
    requested_by: shapes.Line
    created_at: shapes.Time
    running_at: shapes.Time | None
    ended_at: shapes.Time | None


class Experiments(shapes.Page):
    """A page of experiments, newest first."""

    model_config = shapes.example(examples.EXPERIMENTS)

    experiments: list[Experiment]


class Estimate(shapes.Answer):
    """B's yearly return minus A's; the interval holds at all times together, so peeking is fine."""

    mean: shapes.Number
    lower: shapes.Number
    upper: shapes.Number
    pairs: int
    confidence: shapes.Number


class WholeExperiment(Experiment):
    """An experiment with its estimate, its sample and what they recommend.

    `recommendation` is prefer_a, prefer_b, equivalent or inconclusive, by the interval and by
    whether both worked as they should; never by the profit alone. A deployment promotes.
    """

    model_config = shapes.example(examples.WHOLE_EXPERIMENT)

    pairs: int
    estimate: Estimate | None
    recommendation: str
    reason: shapes.Line
    findings: list[shapes.Line]
    history: list[HistoryEntry]


class Allocation(shapes.Answer):
    """A line's allocation: its policy, the weights in force, and every change of them.

    A version that is not well has 0 in `in_force`; its part in `slots` is cash meanwhile.
    """

    model_config = shapes.example(examples.ALLOCATION)

    allocation_id: str
    strategy_name: shapes.Line
    status: str
    message: shapes.Line
    policy: str
    versions: list[shapes.Line]
    weights: Numbers
    caps: Numbers
    band: shapes.Number
    max_change_a_day: shapes.Number
    lookback: int
    prior: int
    in_force: Numbers
    slots: Numbers
    changed_today: shapes.Number
    executions: dict[str, str]
    capital: shapes.Number
    requested_by: shapes.Line
    created_at: shapes.Time
    updated_at: shapes.Time
    history: list[HistoryEntry]


class Member(shapes.Answer):
    """An execution of a line; `weight` is its share of the members' equity.

    `capital` is what it has been given, `capital_target` what that is to become: `nothing` where
    all is to leave, null where it stays as it is.
    """

    execution_id: str
    strategy_id: str
    version: shapes.Line
    role: str
    status: str
    risk_state: str
    weight: shapes.Number
    capital: shapes.Number
    capital_target: capital_targets.Target
    equity: shapes.Number
    pnl: shapes.Number
    positions: Numbers
    failure: shapes.MaybeLines


class Tied(shapes.Answer):
    """An execution that has ended and still has some of the line's capital.

    `capital` is what its positions are worth, as of its end; once they are closed, what that freed,
    until the line has it. `POST /executions/{execution_id}/flatten` closes them; `closing` says how
    far that is.
    """

    execution_id: str
    strategy_id: str
    version: shapes.Line
    role: str
    status: str
    capital: shapes.Number
    positions: Numbers
    closing: str | None


class Mover(shapes.Answer):
    """What moves the line's capital: a deployment, an experiment or an allocation."""

    kind: str
    key: str
    status: str


class LineSummary(shapes.Answer):
    """A line: its versions, and its members with their money.

    `capital` and `equity` are its members' together; what those in `tied` have is not in them.
    """

    strategy_name: shapes.Line
    versions: list[shapes.Line]
    members: list[Member]
    tied: list[Tied]
    capital: shapes.Number
    equity: shapes.Number
    moved_by: list[Mover]


class Lines(shapes.Answer):
    """Every line, by name."""

    model_config = shapes.example(examples.LINES)

    lines: list[LineSummary]
    count: int


class Held(shapes.Answer):
    """An instrument: what all ledgers hold, and what all fills add up to."""

    symbol: shapes.Line
    ledgers: shapes.Number
    fills: shapes.Number
    agrees: bool


class Books(shapes.Answer):
    """Whether all ledgers of a line agree with all fills and flows, to the last digit.

    The sums are over every execution that the line ever had: one that has ended keeps its cash in
    its ledger, whoever trades with that since. While an experiment or an allocation shares the
    line's capital, members that were given more than there is are a finding too.
    """

    agrees: bool
    findings: list[shapes.Line]
    positions: list[Held]
    cash: shapes.Number
    expected_cash: shapes.Number
    opened: shapes.Number
    flowed: shapes.Number
    fill_count: int


class Line(LineSummary):
    """A line whole, with its shadows and its books."""

    model_config = shapes.example(examples.LINE)

    shadows: list[Member]
    books: Books
