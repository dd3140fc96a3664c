"""The rules that are there without anybody's doing, in one table."""

from strategy_engine.alerts.model import Severity
from strategy_engine.alerts.rules import RISK, UNDELIVERED, Match, Rule, Scope, Threshold

BUILT_IN = (
    Rule(
        rule_id=RISK,
        name="What risk finds and does",  # raised where it happens, never evaluated
        severity=Severity.WARNING,
        is_built_in=True,
    ),
    Rule(
        rule_id=UNDELIVERED,
        name="An alert did not reach a channel",  # raised by the delivery itself
        severity=Severity.CRITICAL,
        is_built_in=True,
    ),
    Rule(
        rule_id="execution_error",
        name="An execution ended in error",
        severity=Severity.CRITICAL,
        match=Match(topic="strategy.error"),
        is_built_in=True,
    ),
    Rule(
        rule_id="restarts_exhausted",
        name="A strategy's process ended too often to be started again",
        severity=Severity.CRITICAL,
        match=Match(topic="strategy.error", fields={"error": "*it was started again*"}),
        is_built_in=True,
    ),
    Rule(
        rule_id="execution_lost",
        name="An execution could not be kept running",
        severity=Severity.CRITICAL,
        match=Match(topic="strategy.execution.stopped", fields={"end_reason": "lost"}),
        is_built_in=True,
    ),
    Rule(
        rule_id="rollout_undone",
        name="A rollout was taken back",
        severity=Severity.WARNING,
        match=Match(topic="pipeline.failed", fields={"outcome": "rolled_back"}),
        is_built_in=True,
    ),
    Rule(
        rule_id="risk_command",
        name="A risk engine held an execution back",
        severity=Severity.WARNING,
        match=Match(topic="execution.risk"),
        is_built_in=True,
    ),
    Rule(
        rule_id="bus_stuck",
        name="Events wait to be published: the broker is away",
        severity=Severity.WARNING,
        threshold=Threshold(scope=Scope.ENGINE, name="bus_oldest_s", above=30.0, clear=5.0),
        is_built_in=True,
    ),
    Rule(
        rule_id="part_unhealthy",
        name="A part of the engine does not serve as it should",
        severity=Severity.CRITICAL,
        threshold=Threshold(scope=Scope.ENGINE, name="unhealthy_parts", above=0.0, for_s=10.0),
        is_built_in=True,
    ),
    Rule(
        rule_id="database_trouble",
        name="A database does not take what is written",
        severity=Severity.CRITICAL,
        threshold=Threshold(scope=Scope.ENGINE, name="database_trouble", above=0.0),
        is_built_in=True,
    ),
    Rule(
        rule_id="feed_stale",
        name="A live feed is silent",
        severity=Severity.WARNING,
        threshold=Threshold(scope=Scope.ENGINE, name="silent_feeds", above=0.0),
        is_built_in=True,
    ),
)
