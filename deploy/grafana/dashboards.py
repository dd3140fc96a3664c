"""The Grafana dashboards as code: `python deploy/grafana/dashboards.py` writes their JSON."""

from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, stat, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.dashboard import DataSourceRef

SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
HERE = Path(__file__).parent / "dashboards"
WINDOW = "$__rate_interval"
CHOSEN = '{execution_id="$execution"}'
MONEY = "currencyUSD"
FIGURES = (
    ("P&L", MONEY, "pnl", "Profit beyond what was contributed."),
    ("Capital", MONEY, "capital", "What it was given."),
    ("Fills", "short", "fills", "So far."),
    ("Round trips", "short", "round_trips", "Closed so far."),
    ("Sharpe ratio", "short", "sharpe_ratio", "Of its bar returns, a year."),
    ("Drawdown", "percentunit", "max_drawdown", "The deepest."),
)


def query(expr: str, legend: str = "", ref: str = "A") -> Dataquery:
    """Return one query of a panel."""
    return Dataquery().expr(expr).legend_format(legend).ref_id(ref).datasource(SOURCE)


def lines(title: str, unit: str, *queries: Dataquery, what: str) -> timeseries.Panel:
    """Return a panel of lines over time, with a sentence of what they show."""
    panel = timeseries.Panel().title(title).description(what).unit(unit).datasource(SOURCE)
    panel = panel.legend(
        common.VizLegendOptions()
        .show_legend(True)  # noqa: FBT003 - a builder of Grafana's own
        .display_mode(common_model.LegendDisplayMode.LIST)
        .placement(common_model.LegendPlacement.BOTTOM)
    )
    for each in queries:
        panel = panel.with_target(each)
    return panel.span(12).height(8)


def number(title: str, unit: str, expr: str, *, what: str) -> stat.Panel:
    """Return a panel of one figure."""
    panel = stat.Panel().title(title).description(what).unit(unit).datasource(SOURCE)
    return panel.with_target(query(expr)).span(4).height(4)


def quantiles(name: str, by: str, of: str) -> tuple[Dataquery, ...]:
    """Return the median and the 95th percentile of a histogram's times."""
    return tuple(
        query(
            f"histogram_quantile({share}, sum by (le{by}) (rate({name}_bucket[{WINDOW}])))",
            f"{label} {of}".strip(),
            ref,
        )
        for share, label, ref in ((0.5, "median", "A"), (0.95, "95 %", "B"))
    )


def board(uid: str, title: str, what: str) -> dashboard.Dashboard:
    """Return a dashboard without panels."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(what)
        .tags(["strategy-engine"])
        .time("now-6h", "now")
        .refresh("15s")
        .readonly()
    )


def overview() -> dashboard.Dashboard:
    """Return the contract's eight panels, under its titles."""
    found = board(
        "strategy-engine",
        "Strategy Engine",
        "Deployments, executions and the machine that they run on.",
    )
    for panel in (*of_deployments(), *of_executions(), *of_stages()):
        found = found.with_panel(panel)
    return found


def of_deployments() -> tuple[timeseries.Panel, ...]:
    """Return how many deployments there are, what runs by them, and how they end."""
    return (
        lines(
            "Strategy Deployment Rate",
            "short",
            query(f"sum(increase(strategy_deployments_total[{WINDOW}]))", "completed"),
            query(f"sum(increase(strategy_deployment_errors_total[{WINDOW}]))", "failed", "B"),
            query("sum by (state) (strategy_deployments_open)", "{{state}} now", "C"),
            what="Deployments that ended in each interval, and those that are open.",
        ),
        lines(
            "Active Strategy Executions",
            "short",
            query("strategy_executions_active", "executions"),
            query(f"sum(increase(strategy_trade_count_total[{WINDOW}]))", "round trips", "B"),
            what="Executions that are starting, running or paused, and round trips closed.",
        ),
        lines(
            "Pipeline Success Rate",
            "percentunit",
            query("strategy_success_rate", "completed of ended"),
            query("1 - strategy:deployment_errors:ratio1h", "the last hour's", "B"),
            what="Completed deployments over ended ones.",
        ).min(0),
    )


def of_executions() -> tuple[timeseries.Panel, ...]:
    """Return how running executions do."""
    return (
        lines(
            "Strategy Performance Metrics",
            "short",
            query("topk(20, strategy_execution_sharpe_ratio)", "Sharpe {{strategy_name}}"),
            query("topk(20, strategy_execution_win_rate)", "win rate {{strategy_name}}", "B"),
            query(
                "bottomk(20, strategy_execution_max_drawdown)", "drawdown {{strategy_name}}", "C"
            ),
            what="Sharpe ratio, win rate and drawdown of running executions.",
        ),
        lines(
            "P&L Distribution",
            MONEY,
            query("strategy_pnl_total", "all"),
            query("quantile(0.9, strategy_execution_pnl)", "90 %", "B"),
            query("quantile(0.5, strategy_execution_pnl)", "median", "C"),
            query("quantile(0.1, strategy_execution_pnl)", "10 %", "D"),
            what="Profit of all executions ever, and how that of the running ones is spread.",
        ),
    )


def of_stages() -> tuple[timeseries.Panel, ...]:
    """Return how validation does, and what all of it takes."""
    return (
        lines(
            "Deployment Duration Trends",
            "s",
            *quantiles("strategy_pipeline_duration_seconds", "", ""),
            query(
                "sum by (stage) (rate(strategy_test_duration_seconds_sum[1h]))"
                " / sum by (stage) (rate(strategy_test_duration_seconds_count[1h]))",
                "{{stage}}, mean of an hour",
                "C",
            ),
            what="How long validation takes, whole and stage by stage.",
        ),
        lines(
            "Error Rate by Stage",
            "percentunit",
            query(
                "sum by (stage) (increase(strategy_stage_failures_total[1h]))"
                " / sum by (stage) (increase(strategy_test_duration_seconds_count[1h]) > 0)",
                "{{stage}}",
            ),
            what="Stage runs that did not pass, of those that finished in an hour.",
        ).min(0),
        lines(
            "Resource Utilization",
            "short",
            query("sum(strategy_process_memory_bytes) / 1048576", "memory, MiB"),
            query(
                f"sum by (kind) (rate(strategy_process_cpu_seconds_total[{WINDOW}]))",
                "CPU {{kind}}, cores",
                "B",
            ),
            query("sum by (kind) (strategy_processes)", "{{kind}} processes", "C"),
            what="Memory, CPU and processes of the engine, by kind.",
        ),
    )


def execution() -> dashboard.Dashboard:
    """Return the drill-down into one execution, and what its node takes for all of them."""
    found = board(
        "strategy-execution", "Strategy Execution", "One execution: its money, fills and times."
    ).with_variable(
        dashboard.QueryVariable("execution")
        .label("Execution")
        .query("label_values(strategy_execution_pnl, execution_id)")
        .datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    for title, unit, name, what in FIGURES:
        found = found.with_panel(
            number(title, unit, f"strategy_execution_{name}{CHOSEN}", what=what)
        )
    for panel in of_one():
        found = found.with_panel(panel)
    return found


def of_one() -> tuple[timeseries.Panel, ...]:
    """Return an execution over time, and its node."""
    return (
        lines(
            "P&L over time",
            MONEY,
            query(f"strategy_execution_pnl{CHOSEN}", "{{strategy_name}} {{version}}, {{role}}"),
            what="Profit beyond what was contributed, marked to market.",
        ),
        lines(
            "Decision latency",
            "ms",
            query(f"strategy_execution_decision_latency_ms{CHOSEN}", "median"),
            what="From a bar to its answer.",
        ),
        lines(
            "Decision latency of the node",
            "s",
            *quantiles("strategy_decision_duration_seconds", ", kernel", "{{kernel}}"),
            what="Of all executions of the node, by kernel.",
        ),
        lines(
            "Denied orders",
            "short",
            query(f"sum by (code) (rate(strategy_denials_total[{WINDOW}]))", "{{code}}"),
            what="What the gate refuses, by code, of all executions.",
        ),
    )


DASHBOARDS = {"overview.json": overview, "execution.json": execution}


def rendered(name: str) -> str:
    """Return a dashboard's JSON as it is committed."""
    return JSONEncoder(sort_keys=True, indent=2).encode(DASHBOARDS[name]().build()) + "\n"


def main() -> None:
    """Write every dashboard."""
    HERE.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (HERE / name).write_text(rendered(name))


if __name__ == "__main__":
    main()
