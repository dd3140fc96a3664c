"""An experiment as it is asked for becomes one that can be carried out, or is refused."""

from collections.abc import Sequence
from decimal import Decimal

from strategy_engine.core import ids
from strategy_engine.core.clock import Clock
from strategy_engine.core.errors import InvalidError
from strategy_engine.execution import rules as execution_rules
from strategy_engine.registry.model import Strategy
from strategy_engine.rollout import capital, shares
from strategy_engine.rollout.experiments import rules
from strategy_engine.rollout.experiments.model import PREFIX, Arm, Asked, Experiment, Unit
from strategy_engine.rollout.lines import Line, Lines, Member


class Planner:
    """Works out who gets what. Reads; nothing here writes."""

    def __init__(self, *, lines: Lines, clock: Clock) -> None:
        self._lines = lines
        self._clock = clock

    async def plan(self, asked: Asked, line: Line, actor: str) -> Experiment:
        """Return the experiment that is asked for.

        Raises
        ------
        InvalidError
            If there is no such version, or the design makes no sense.
        ConflictError
            If a version may not have capital.
        """
        rules.check(asked.design)
        design = asked.design
        a, b = _versions(asked, line)
        members = _members(asked, line, (a, b))
        symbols = self._symbols(a, b, members, asked)
        mine = await self._assigned(symbols, asked) if design.unit is Unit.INSTRUMENT else ()
        share_b = _share_of(len(mine), len(symbols)) if mine else design.share_b
        account, worth = self._money(asked, a, members, line)
        others = tuple(symbol for symbol in symbols if symbol not in mine) if mine else ()
        arms = [
            _arm(version, member, weight=weight, worth=worth, symbols=of_arm)
            for version, member, weight, of_arm in (
                (a, members[0], 1 - share_b, others),
                (b, members[1], share_b, mine),
            )
        ]
        await self._check_lots(arms, symbols, worth)
        weights = {each.execution_id: each.weight for each in arms if each.execution_id}
        return Experiment(
            experiment_id=ids.new_id(PREFIX),
            strategy_name=asked.strategy_name,
            design=design,
            a=arms[0],
            b=arms[1],
            requested_by=actor,
            created_at=self._clock.now(),
            capital=account.capital,
            goal=capital.wanted(account, weights),
            config=asked.config,
            message="capital is on its way",
        )

    async def _check_lots(
        self, arms: Sequence[Arm], symbols: Sequence[str], worth: Decimal
    ) -> None:
        for arm in arms:
            lots = await self._lines.lots(arm.symbols or symbols)
            capital.check_step(f"version {arm.version}", arm.weight, worth, lots)

    def _symbols(
        self, a: Strategy, b: Strategy, members: Sequence[Member | None], asked: Asked
    ) -> tuple[str, ...]:
        found = []
        for version, member in zip((a, b), members, strict=True):
            like = member or next((each for each in members if each is not None), None)
            config = asked.config if like is None else like.execution.config
            found.append(set(execution_rules.settings_of(version.content, config).symbols))
        if found[0] != found[1]:
            raise InvalidError(
                f"version {asked.version_a} trades {', '.join(sorted(found[0]))}, version"
                f" {asked.version_b} {', '.join(sorted(found[1]))}: their returns are not"
                " comparable; name the same symbols",
                field="version_b",
                value=asked.version_b,
            )
        return tuple(sorted(found[0]))

    async def _assigned(self, symbols: Sequence[str], asked: Asked) -> tuple[str, ...]:
        volatilities = await self._lines.volatilities(symbols)
        return rules.assign(volatilities, asked.design.share_b, asked.design.seed)

    def _money(
        self, asked: Asked, a: Strategy, members: Sequence[Member | None], line: Line
    ) -> tuple[capital.Account, Decimal]:
        stakes = tuple(each.stake for each in members if each is not None)
        given = capital.total(each.contributed for each in stakes)
        if not stakes:
            settings = execution_rules.settings_of(a.content, asked.config)
            given = asked.capital or execution_rules.capital_of(settings)
            given = shares.less_tied(line, given)
        account = capital.Account(capital=given, stakes=stakes)
        return account, account.worth


def _versions(asked: Asked, line: Line) -> tuple[Strategy, Strategy]:
    a = shares.version_of(line, asked.version_a, "version_a")
    b = shares.version_of(line, asked.version_b, "version_b")
    if a.strategy_id == b.strategy_id:
        raise InvalidError(
            "version_a and version_b are the same; compare a version with another",
            field="version_b",
            value=asked.version_b,
        )
    return a, b


def _members(asked: Asked, line: Line, versions: Sequence[Strategy]) -> list[Member | None]:
    shares.refuse_others(line, {asked.version_a, asked.version_b}, "version_a")
    members = [shares.only_member(line, each) for each in versions]
    if asked.design.unit is Unit.INSTRUMENT and None not in members:
        raise InvalidError(
            "both versions hold capital already; instruments are shared between one that runs"
            " and one that is started for it: stop one of them, or assign capital",
            field="unit",
            value=asked.design.unit.value,
            accepted=[Unit.CAPITAL.value],
        )
    return members


def _arm(
    version: Strategy,
    member: Member | None,
    *,
    weight: Decimal,
    worth: Decimal,
    symbols: tuple[str, ...],
) -> Arm:
    number, strategy_id = version.content.version, version.strategy_id
    if member is None:
        return Arm(
            strategy_id=strategy_id,
            version=number,
            weight=weight,
            is_own=True,
            opening=capital.opening(worth, weight),
            symbols=symbols,
        )
    return Arm(
        strategy_id=strategy_id,
        version=number,
        weight=weight,
        execution_id=member.execution_id,
        capital_before=member.contributed,
        serves_before=member.execution.serves,
        symbols=symbols,
    )


def _share_of(part: int, whole: int) -> Decimal:
    return (Decimal(part) / whole).quantize(Decimal("1e-6"))
