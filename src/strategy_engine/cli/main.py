"""The command `strategy-engine`: every door to the engine from a terminal, in one table."""

from collections.abc import Callable
from importlib import metadata
from typing import Annotated

import typer

from strategy_engine.cli import (
    alerts,
    applying,
    bars,
    database,
    demo,
    deploying,
    deployments,
    drill,
    edge,
    emergency,
    events,
    executing,
    experiments,
    flags,
    keys,
    limits,
    lines,
    monitoring,
    serving,
    taking,
    ticks,
    webhooks,
)

_HELP = """Take a trading strategy from a file to live paper trading, and back, safely.

\b
First steps:
  strategy-engine demo                    see it all, in one minute, nothing to set up
  strategy-engine serve                   run the engine on http://127.0.0.1:8700
  strategy-engine deploy my_rsi.py \\
      --risk max_position_size=15000 --risk daily_loss_limit=-2000 --start

\b
Then:
  strategy-engine executions              what trades, and what it earned
  strategy-engine stop STRATEGY_ID        stop it
  strategy-engine data import bars.csv --symbol BTC/USDT.BINANCE --timeframe 1h
"""

# name, command, examples
COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("demo", demo.demo, ("demo", "demo --once", "demo --speed 50")),
    (
        "serve",
        serving.serve,
        (
            "serve",
            "serve --port 9000 --data-dir ./engine",
            "serve --host 0.0.0.0 --log-json    (with STRATEGY_API_KEY set)",
        ),
    ),
    (
        "deploy",
        deploying.deploy,
        (
            "deploy my_rsi.py --risk max_position_size=15000 --risk daily_loss_limit=-2000",
            "deploy my_rsi.py --version 1.1.0 --param rsi_period=21 --test test_my_rsi.py --start",
            "deploy my_rsi.py --param symbols='[\"GOOGL.SIM\"]' --approval-required",
        ),
    ),
    (
        "apply",
        applying.apply,
        (
            "apply manifest.yaml                  (shows what would change)",
            "apply manifest.yaml --yes --wait     (as a workflow does)",
            "apply manifest.yaml --prune --dry-run",
        ),
    ),
    ("status", deploying.status, ("status", "status pipe_9f86d081884c7d659a2feaa0")),
    ("approve", deploying.approve, ('approve PIPELINE_ID --comment "limits checked"',)),
    ("reject", deploying.reject, ('reject PIPELINE_ID --comment "too few trades"',)),
    ("strategies", deploying.strategies, ("strategies", "strategies --status running")),
    (
        "executions",
        executing.executions,
        ("executions", "executions --status stopped", "executions EXECUTION_ID --json"),
    ),
    (
        "start",
        executing.start,
        ("start STRATEGY_ID", "start STRATEGY_ID --capital 50000 --speed 100"),
    ),
    (
        "export",
        taking.export,
        (
            "export EXECUTION_ID equity -o equity.parquet",
            "export EXECUTION_ID trades --from 2025-01-01",
            "export 'RSI Mean Reversion' metrics --resolution 1h -o line.csv",
        ),
    ),
    (
        "tearsheet",
        taking.tearsheet,
        (
            "tearsheet EXECUTION_ID -o execution.html",
            "tearsheet STRATEGY_ID --of backtest -o backtest.html",
            "tearsheet STRATEGY_ID --against OTHER_ID -o both.html",
        ),
    ),
    ("stop", executing.stop, ("stop STRATEGY_ID",)),
    ("pause", executing.pause, ("pause STRATEGY_ID",)),
    ("resume", executing.resume, ("resume STRATEGY_ID",)),
    (
        "events",
        events.events,
        (
            "events",
            "events --follow --topic strategy.trade --line RSI",
            "events --follow --severity warning --json",
        ),
    ),
    (
        "emergency-stop",
        emergency.emergency_stop,
        (
            "emergency-stop --reason 'prices are wrong'",
            "emergency-stop --line RSI --flatten --reason 'it loses too fast'",
            "emergency-stop --local --reason 'the API is down'",
        ),
    ),
    ("flatten", executing.flatten, ("flatten EXECUTION_ID --dry-run", "flatten EXECUTION_ID")),
)
DATA_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    (
        "import",
        bars.import_,
        (
            "data import eurusd.csv --symbol EUR/USD.MINE --timeframe 1h --calendar fx",
            "data import aapl.parquet --symbol AAPL.XNAS --timeframe 1d --tick-size 0.01",
        ),
    ),
    (
        "import-quotes",
        ticks.import_quotes,
        ("data import-quotes eurusd-quotes.csv --symbol EUR/USD.MINE",),
    ),
    (
        "import-trades",
        ticks.import_trades,
        ("data import-trades btc.parquet --symbol BTC/USDT.BINANCE",),
    ),
    (
        "import-catalog",
        ticks.import_catalog,
        ("data import-catalog ./catalog", "data import-catalog ./catalog --symbol EUR/USD.SIM"),
    ),
    ("list", bars.list_, ("data list",)),
)


DEPLOYMENT_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("list", deployments.list_, ("deployments list", "deployments list --strategy STRATEGY_ID")),
    ("events", deployments.events, ("deployments events PIPELINE_ID",)),
    (
        "promote",
        deployments.promote,
        (
            "deployments promote PIPELINE_ID --dry-run",
            'deployments promote PIPELINE_ID --step 3 --comment "seen enough"',
        ),
    ),
    ("promote-full", deployments.promote_full, ("deployments promote-full PIPELINE_ID",)),
    ("skip-step", deployments.skip_step, ("deployments skip-step PIPELINE_ID --step 2",)),
    ("pause", deployments.pause, ('deployments pause PIPELINE_ID --comment "until Monday"',)),
    ("resume", deployments.resume, ("deployments resume PIPELINE_ID",)),
    (
        "abort",
        deployments.abort,
        ("deployments abort PIPELINE_ID --dry-run", "deployments abort PIPELINE_ID"),
    ),
    ("rollback", deployments.rollback, ("deployments rollback PIPELINE_ID",)),
    ("retry", deployments.retry, ("deployments retry PIPELINE_ID",)),
    ("approve", deployments.approve, ("deployments approve PIPELINE_ID --step 4",)),
    ("reject", deployments.reject, ("deployments reject PIPELINE_ID",)),
)


KEY_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("create", keys.create, ("keys create alice --role admin", "keys create ci --role developer")),
    ("list", keys.list_, ("keys list",)),
    ("revoke", keys.revoke, ("keys revoke KEY_ID",)),
)


RISK_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("status", monitoring.status, ("risk status",)),
    ("breaches", monitoring.breaches, ("risk breaches", "risk breaches EXECUTION_ID")),
    ("reset", monitoring.reset, ("risk reset EXECUTION_ID --comment 'the feed was wrong'",)),
    ("limits", limits.list_, ("risk limits",)),
    (
        "limit",
        limits.set_,
        (
            "risk limit line RSI --limit max_position_size=250000 --limit daily_loss_limit=-5000",
            "risk limit engine --limit max_leverage=1.5 --why 'quarter end'",
        ),
    ),
    ("unlimit", limits.lift, ("risk unlimit line RSI --why 'as before'",)),
    ("stops", emergency.stops, ("risk stops",)),
    ("reset-stop", emergency.reset_stop, ("risk reset-stop STOP_ID --comment 'prices are back'",)),
    ("drill", drill.drill, ("risk drill", "risk drill --execution EXECUTION_ID")),
)


FLAG_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    (
        "set",
        flags.set_,
        (
            "flags set new_exit --type boolean --default false --expires 30d",
            """flags set wide_stop --rule '{"value": 0.08, "share_of_executions": 0.25}'""",
            "flags set wide_stop --default 0.08 --no-rules",
        ),
    ),
    ("list", flags.list_, ("flags list", "flags list --archived", "flags list wide_stop")),
    ("archive", flags.archive, ("flags archive new_exit",)),
)


def _version(asked: bool) -> None:
    if asked:
        print(f"strategy-engine {metadata.version('strategy-engine')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def _group(
    help_text: str,
    commands: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...],
    *,
    add_completion: bool = False,
) -> typer.Typer:
    # Plain help: rich's takes 0.3 s to import before it prints a word.
    group = typer.Typer(
        help=help_text,
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=add_completion,
        pretty_exceptions_enable=False,
    )
    for name, command, examples in commands:
        lines = [f"  strategy-engine {example}" for example in examples]
        epilog = "\n".join(["\b", "Examples:", *lines])
        group.command(name, epilog=epilog)(edge.guarded(command))
    return group


DATABASE_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("upgrade", database.upgrade, ("db upgrade", "db upgrade --data-dir ./engine")),
    ("check", database.check, ("db check",)),
    ("backup", database.backup, ("db backup", "db backup /mnt/backups")),
)

WEBHOOK_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    (
        "create",
        webhooks.create,
        (
            "webhooks create https://ops.example/hooks",
            "webhooks create https://ops.example/hooks --topic pipeline.failed",
        ),
    ),
    ("list", webhooks.list_, ("webhooks list",)),
    ("remove", webhooks.remove, ("webhooks remove WEBHOOK_ID",)),
    (
        "deliveries",
        webhooks.deliveries,
        ("webhooks deliveries WEBHOOK_ID --state pending",),
    ),
)

ALERT_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("list", alerts.list_, ("alerts list", "alerts list --all --severity critical")),
    ("acknowledge", alerts.acknowledge, ('alerts acknowledge ALERT_ID --comment "I look"',)),
    ("rules", alerts.rules_, ("alerts rules",)),
    (
        "add-rule",
        alerts.add_rule,
        (
            "alerts add-rule 'Deep' --metric max_drawdown --below -0.1 --clear -0.08 --for 60",
            "alerts add-rule 'Line loses' --scope line --metric pnl --below -500",
            "alerts add-rule 'Flag moved' --topic flag.update --severity info",
        ),
    ),
    ("switch-rule", alerts.switch_rule, ("alerts switch-rule feed_stale --off",)),
    ("remove-rule", alerts.remove_rule, ("alerts remove-rule RULE_ID",)),
    ("channels", alerts.channels, ("alerts channels",)),
    (
        "add-channel",
        alerts.add_channel,
        (
            "alerts add-channel desk https://ops.example/alerts",
            "alerts add-channel phone - --kind apprise --severity critical   (URL on stdin)",
        ),
    ),
    ("remove-channel", alerts.remove_channel, ("alerts remove-channel CHANNEL_ID",)),
    ("test", alerts.try_out, ("alerts test CHANNEL_ID",)),
    ("deliveries", alerts.deliveries, ("alerts deliveries CHANNEL_ID",)),
)

LINE_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("list", lines.list_, ("lines list", "lines list 'RSI Mean Reversion'")),
    (
        "allocate",
        lines.allocate,
        (
            "lines allocate RSI --policy equal_risk --version 1.2.0 --version 1.3.0",
            "lines allocate RSI --policy fixed --weight 1.2.0=0.7 --weight 1.3.0=0.2",
            "lines allocate RSI                   (shows how it is shared)",
        ),
    ),
    ("release", lines.release, ("lines release RSI",)),
)

EXPERIMENT_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    (
        "start",
        experiments.start,
        (
            "experiments start RSI --a 1.2.0 --b 1.3.0 --hypothesis 'a longer period pays'",
            "experiments start RSI --a 1.2.0 --b 1.3.0 --hypothesis x --unit instrument",
        ),
    ),
    ("list", experiments.list_, ("experiments list", "experiments list EXPERIMENT_ID")),
    ("stop", experiments.stop, ("experiments stop EXPERIMENT_ID",)),
)

app = _group(_HELP, COMMANDS, add_completion=True)
app.callback()(_root)
app.add_typer(
    _group("Import bars, quotes and trades of your own, or list what is there.", DATA_COMMANDS),
    name="data",
)
app.add_typer(
    _group("Follow what rolls out, hold it, let it go on, take it back.", DEPLOYMENT_COMMANDS),
    name="deployments",
)
app.add_typer(
    _group("Upgrade, check and back up the engine's databases.", DATABASE_COMMANDS),
    name="db",
)
app.add_typer(
    _group("Say who may: API keys with roles.", KEY_COMMANDS),
    name="keys",
)
app.add_typer(
    _group("See how risk stands, and what lines, accounts and all are held to.", RISK_COMMANDS),
    name="risk",
)
app.add_typer(
    _group("Set the feature flags that strategies read for each decision.", FLAG_COMMANDS),
    name="flags",
)
app.add_typer(
    _group("Send what happens to URLs of yours, signed.", WEBHOOK_COMMANDS),
    name="webhooks",
)

app.add_typer(
    _group("See what somebody should know; say when and where people are told.", ALERT_COMMANDS),
    name="alerts",
)
app.add_typer(
    _group("See who has a line's capital, and share it across versions.", LINE_COMMANDS),
    name="lines",
)
app.add_typer(
    _group("Compare two versions of a line on live bars.", EXPERIMENT_COMMANDS),
    name="experiments",
)

if __name__ == "__main__":
    app()
