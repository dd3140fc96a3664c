"""An allocation as it is asked for becomes one that can be applied, or is refused."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.execution import rules as execution_rules
from strategy_engine.execution.model import ExecutionConfig
from strategy_engine.registry.model import Strategy
from strategy_engine.rollout import capital, shares
from strategy_engine.rollout.allocation import rules
from strategy_engine.rollout.allocation.model import PREFIX, Allocation, Policy
from strategy_engine.rollout.lines import Line, Lines, Member


class Planner:
    """Works out what is there to be shared. Reads; nothing here writes."""

    def __init__(self, *, lines: Lines, clock: Clock) -> None:
        self._lines = lines
        self._clock = clock

    async def plan(
        self,
        line: Line,
        policy: Policy,
        actor: str,
        given: Decimal | None,
        config: ExecutionConfig,
    ) -> Allocation:
        """Return the allocation that is asked for.

        Raises
        ------
        InvalidError
            If there is no such version, or the policy makes no sense.
        ConflictError
            If a version may not have capital.
        """
        rules.check(policy)
        versions = [shares.version_of(line, each, "versions") for each in policy.versions]
        shares.refuse_others(line, set(policy.versions), "versions")
        found = [(each, shares.only_member(line, each)) for each in versions]
        members = {each.content.version: member for each, member in found if member is not None}
        contributed = capital.total(each.contributed for each in members.values())
        if not members:
            contributed = shares.less_tied(line, given or _default_capital(versions[0], config))
        account = capital.Account(
            capital=contributed, stakes=tuple(each.stake for each in members.values())
        )
        await self._check_lots(versions, members, policy, account.worth, config)
        now = self._clock.now()
        slots = _present(policy, members, account) if members else rules.first_weights(policy)
        return Allocation(
            allocation_id=ids.new_id(PREFIX),
            strategy_name=line.strategy_name,
            policy=policy,
            requested_by=actor,
            created_at=now,
            updated_at=now,
            executions={name: each.execution_id for name, each in members.items()},
            capital=contributed,
            config=config,
            slots=slots,
            weights={} if not members else slots,
            goal={each.execution_id: each.contributed for each in members.values()},
        )

    async def _check_lots(
        self,
        versions: Sequence[Strategy],
        members: Mapping[str, Member],
        policy: Policy,
        worth: Decimal,
        config: ExecutionConfig,
    ) -> None:
        for name, weight in rules.first_weights(policy).items():
            version = next(each for each in versions if each.content.version == name)
            like = members.get(name) or next(iter(members.values()), None)
            own = config if like is None else like.execution.config
            symbols = execution_rules.settings_of(version.content, own).symbols
            if weight:
                lots = await self._lines.lots(symbols)
                capital.check_step(f"version {name}", weight, worth, lots)


def _present(
    policy: Policy, members: Mapping[str, Member], account: capital.Account
) -> dict[str, Decimal]:
    worth = account.worth
    return {
        name: rules.down(members[name].equity / worth) if name in members and worth else Decimal(0)
        for name in policy.versions
    }


def _default_capital(version: Strategy, config: ExecutionConfig) -> Decimal:
    return execution_rules.capital_of(execution_rules.settings_of(version.content, config))
