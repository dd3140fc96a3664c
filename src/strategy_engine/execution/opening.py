"""A new execution: what it is to trade, held against the catalogue, and its first row."""

import asyncio
from collections.abc import Collection

from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import InvalidError, NotFoundError
from strategy_engine.execution import benchmarks, rules
from strategy_engine.execution.model import (
    Desired,
    Execution,
    ExecutionConfig,
    ExecutionStatus,
    Role,
)
from strategy_engine.market.service import Catalogue
from strategy_engine.matching.settings import Settings
from strategy_engine.registry.model import Strategy


class Opening:
    """Makes rows; whoever asks writes them.

    Parameters
    ----------
    feeds : collection of str
        Those that this engine is set up for.
    """

    def __init__(self, *, catalogue: Catalogue, clock: Clock, feeds: Collection[str]) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._feeds = feeds

    async def checked(self, strategy: Strategy, config: ExecutionConfig) -> Settings:
        """Return what a version trades under a config.

        Raises
        ------
        InvalidError
            If the config, an instrument or a timeframe makes no sense.
        """
        settings = rules.settings_of(strategy.content, config)
        rules.check_feed(config.feed, self._feeds)
        await asyncio.to_thread(self._check_market, settings)
        await asyncio.to_thread(benchmarks.check, config, self._catalogue)
        return settings

    def new(
        self,
        strategy_id: str,
        config: ExecutionConfig,
        settings: Settings,
        role: Role,
        key: str | None = None,
    ) -> Execution:
        """Return the row of an execution that is to start; a key gives it its name."""
        now = self._clock.now()
        return Execution(
            execution_id=ids.new_id(ids.EXECUTION)
            if key is None
            else ids.derived(ids.EXECUTION, key),
            strategy_id=strategy_id,
            role=role,
            status=ExecutionStatus.STARTING,
            desired=Desired.RUN,
            config=config,
            capital=rules.capital_of(settings),
            created_at=now,
            updated_at=now,
        )

    def _check_market(self, settings: Settings) -> None:
        for symbol in settings.symbols:
            try:
                self._catalogue.instrument(symbol)
            except (NotFoundError, InvalidError) as error:
                raise InvalidError(str(error), field="symbols", value=symbol) from error
            try:
                self._catalogue.bars(symbol, settings.timeframe, limit=0)
            except (NotFoundError, InvalidError) as error:
                value = settings.timeframe
                raise InvalidError(str(error), field="timeframe", value=value) from error
