"""The shapes of requests about experiments and allocations."""

from typing import Annotated, Literal

from pydantic import Field

from strategy_engine.api import example_lines as examples
from strategy_engine.api import shapes
from strategy_engine.api.models import ExecutionConfig, Request
from strategy_engine.matching.settings import MAX_CAPITAL

MOST_VERSIONS = 20
MOST_BARS = 100_000

Version = Annotated[str, Field(min_length=1, max_length=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Shares = dict[Version, Share]


class CreateExperiment(Request):
    """Two versions to compare, and how it is judged; all of it is frozen at the start."""

    model_config = shapes.example(examples.CREATE_EXPERIMENT)

    strategy_name: str = Field(min_length=1, max_length=100)
    version_a: Version = Field(description="What B is compared with; often the one that runs.")
    version_b: Version
    hypothesis: str = Field(
        min_length=1, max_length=2_000, description="What is expected, and why."
    )
    metric: Literal["mean_return_difference"] = "mean_return_difference"
    margin: float = Field(
        default=0.05, ge=0, le=10, description="A difference of yearly returns that would matter."
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="The chance at most that the interval ever misses the truth.",
    )
    unit: Literal["capital", "instrument"] = Field(
        default="capital", description="What is assigned; instruments by strata of volatility."
    )
    share_b: float = Field(default=0.5, gt=0, lt=1, description="Of the units, that B gets.")
    planned_pairs: int = Field(
        default=1_000,
        ge=30,
        le=10_000_000,
        description="Bars that both decided; with so many it ends by itself.",
    )
    seed: int = Field(default=0, ge=0, le=2**31, description="Instruments are drawn by it.")
    capital: float | None = Field(
        default=None, ge=1, le=MAX_CAPITAL, description="Of the line, where nothing of it runs."
    )
    execution_config: ExecutionConfig = ExecutionConfig()


class PutAllocation(Request):
    """How a line's capital is shared across its approved versions from now on."""

    model_config = shapes.example(examples.PUT_ALLOCATION)

    policy: Literal["fixed", "equal_risk", "performance"]
    versions: list[Version] = Field(min_length=1, max_length=MOST_VERSIONS)
    weights: Shares = Field(
        default_factory=dict, description="Of a fixed policy, by version; the rest is cash."
    )
    caps: Shares = Field(default_factory=dict, description="The most that a version gets.")
    band: Share = Field(default=0.02, description="Changes within it are not worth their costs.")
    max_change_a_day: Share = Field(
        default=0.2, description="How much may change hands in a day of the feed."
    )
    lookback: int = Field(
        default=500, ge=30, le=MOST_BARS, description="The most recent paired bars that count."
    )
    prior: int = Field(
        default=250,
        ge=0,
        le=MOST_BARS,
        description="So many bars without a difference are added in thought: few bars say little.",
    )
    capital: float | None = Field(
        default=None, ge=1, le=MAX_CAPITAL, description="Of the line, where nothing of it runs."
    )
    execution_config: ExecutionConfig = ExecutionConfig()
