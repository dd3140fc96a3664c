"""A tearsheet: one page of HTML that needs nothing besides itself. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from strategy_engine.performance import formulas, plots, sheet_style
from strategy_engine.performance.model import Estimate

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

ROLLING_DAYS = 30
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_YEARLY = 365.0
_DAYS_OF_SESSIONS = 252.0
_ALWAYS_OPEN = 6.5  # days of a week with a close

# name, what it is called, how it is written
_SHOWN: tuple[tuple[str, str, str], ...] = (
    ("total_return", "Total return", "percent"),
    ("cagr", "Yearly growth (CAGR)", "percent"),
    ("volatility", "Volatility, a year", "percent"),
    ("sharpe_ratio", "Sharpe ratio", "ratio"),
    ("sortino_ratio", "Sortino ratio", "ratio"),
    ("calmar_ratio", "Calmar ratio", "ratio"),
    ("max_drawdown", "Max drawdown", "percent"),
    ("var_95", "VaR, 95 %, one day", "percent"),
    ("cvar_95", "CVaR, 95 %, one day", "percent"),
    ("alpha", "Alpha, a year", "percent"),
    ("alpha_t", "t-statistic of alpha", "ratio"),
    ("beta", "Beta", "ratio"),
    ("information_ratio", "Information ratio", "ratio"),
    ("win_rate", "Win rate", "percent"),
    ("profit_factor", "Profit factor", "ratio"),
    ("expectancy", "Mean profit of a round trip", "money"),
    ("avg_trade_duration", "Mean duration, minutes", "ratio"),
    ("exposure", "Time with a round trip open", "percent"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sheet:
    """What one tearsheet shows of one history.

    Parameters
    ----------
    title : str
        Of what it is; with `facts` (name, value) below it. Texts of users are welcome.
    close_ns : array of int64, shape (n,)
    worth, benchmark : array of float64, shape (n,)
        What 1 has become, with what flowed left out.
    pnl : array of float64, shape (m,), account currency
        Of closed round trips.
    metrics : mapping
        By name.
    costs : sequence of (str, str)
        Name and value.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    close_ns: Ints
    worth: Floats
    benchmark: Floats
    pnl: Floats
    metrics: Mapping[str, Estimate]
    costs: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()


def render(sheets: Sequence[Sheet]) -> str:
    """Return the page of one history, or of two side by side."""
    title = " against ".join(each.title for each in sheets)
    parts = [
        f"<header><h1>{escape(title)}</h1>{''.join(_facts(each) for each in sheets)}</header>",
        _plots(sheets),
        _metrics(sheets),
        _months(sheets),
        _trades(sheets),
        _pairs("Costs", sheets, [each.costs for each in sheets]),
        "".join(f'<p class="note">{escape(note)}</p>' for each in sheets for note in each.notes),
    ]
    return sheet_style.PAGE.format(
        title=escape(title), style=sheet_style.STYLE, body="\n".join(parts)
    )


def daily(close_ns: Ints, worth: Floats) -> tuple[Ints, Floats]:
    """Return the last close of each UTC day, and the return of that day."""
    ends = formulas.day_ends((close_ns - 1) // formulas.NANOS_PER_DAY)
    returns = formulas.simple_returns(worth[ends], start=1.0)
    return close_ns[ends][: returns.size], returns


def rolling_sharpe(close_ns: Ints, returns: Floats, *, days: int = ROLLING_DAYS) -> Floats:
    """Return the Sharpe ratio of the last so many days at each of them; NaN before, or flat."""
    found = np.full(returns.size, np.nan)
    if returns.size < days:
        return found
    windows = np.lib.stride_tricks.sliding_window_view(returns, days)
    deviation = windows.std(axis=1, ddof=1)
    is_flat = deviation < 1e-12  # noqa: PLR2004 - float noise, as in `model.FLAT`
    ratio = windows.mean(axis=1) / np.where(is_flat, 1.0, deviation)
    found[days - 1 :] = np.where(is_flat, np.nan, ratio * math.sqrt(_days_per_year(close_ns)))
    return found


def monthly(close_ns: Ints, worth: Floats) -> dict[tuple[int, int], float]:
    """Return the return of each month, by year and month; a close at midnight ends the day."""
    if not close_ns.size:
        return {}
    month = (close_ns - 1).astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    ends = formulas.day_ends(month)
    returns = formulas.simple_returns(worth[ends], start=1.0)
    return {
        (1970 + int(each) // 12, int(each) % 12 + 1): float(value)
        for each, value in zip(month[ends].tolist(), returns.tolist(), strict=False)
    }


def _days_per_year(close_ns: Ints) -> float:
    if close_ns.size < 2:  # noqa: PLR2004 - two closes make a span
        return _YEARLY
    span = float(close_ns[-1] - close_ns[0]) / formulas.NANOS_PER_DAY
    a_week = 7.0 * (close_ns.size - 1) / span if span else 7.0
    return _YEARLY if a_week >= _ALWAYS_OPEN else _DAYS_OF_SESSIONS


def _plots(sheets: Sequence[Sheet]) -> str:
    worth, fallen, rolled, days = [], [], [], []
    for number, each in enumerate(sheets):
        style = f"s{number}"
        worth.append(plots.Series(name=each.title, x=each.close_ns, y=each.worth, style=style))
        name = "Benchmark" if len(sheets) == 1 else f"Benchmark of {each.title}"
        worth.append(plots.Series(name=name, x=each.close_ns, y=each.benchmark, style=f"b{number}"))
        depth = each.worth / np.maximum(np.maximum.accumulate(each.worth), 1.0) - 1.0
        fallen.append(plots.Series(name=each.title, x=each.close_ns, y=depth, style=style))
        ends, returns = daily(each.close_ns, each.worth)
        ratio = rolling_sharpe(ends, returns)
        rolled.append(plots.Series(name=each.title, x=ends, y=ratio, style=style))
        days.append((each.title, returns, style))
    return "".join(
        (
            plots.lines("What 1 has become", worth, form=lambda value: f"{value:.3f}"),
            plots.lines("Drawdown", fallen, form=_percent, is_filled=True),
            plots.histogram("Daily returns", days, form=_percent),
            plots.lines(
                f"Sharpe ratio of the last {ROLLING_DAYS} days",
                rolled,
                form=lambda value: f"{value:.1f}",
            ),
        )
    )


def _facts(sheet: Sheet) -> str:
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in sheet.facts
    )
    return f"<section><h2>{escape(sheet.title)}</h2><dl>{rows}</dl></section>"


def _metrics(sheets: Sequence[Sheet]) -> str:
    heads = "".join(
        f'<th colspan="3" scope="colgroup">{escape(each.title)}</th>' for each in sheets
    )
    columns = "<th>value</th><th>95 % interval</th><th>n</th>" * len(sheets)
    rows = []
    for name, called, form in _SHOWN:
        cells = "".join(_estimate(each.metrics.get(name), form) for each in sheets)
        rows.append(f'<tr><th scope="row">{called}</th>{cells}</tr>')
    return (
        f"<h2>Metrics</h2><table><thead><tr><th></th>{heads}</tr><tr><th></th>{columns}</tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _estimate(found: Estimate | None, form: str) -> str:
    if found is None or found.value is None:
        n = 0 if found is None else found.n
        return f"<td>–</td><td>–</td><td>{n:,}</td>"
    between = "–"
    if found.low is not None and found.high is not None:
        between = f"{_written(found.low, form)} to {_written(found.high, form)}"
    return f"<td>{_written(found.value, form)}</td><td>{between}</td><td>{found.n:,}</td>"


def _months(sheets: Sequence[Sheet]) -> str:
    heads = "".join(f"<th>{each}</th>" for each in _MONTHS)
    parts = []
    for each in sheets:
        found = monthly(each.close_ns, each.worth)
        rows = "".join(_year(year, found) for year in sorted({year for year, _ in found}))
        parts.append(
            f'<table class="months"><caption>{escape(each.title)}</caption><thead><tr><th></th>'
            f"{heads}<th>Year</th></tr></thead><tbody>{rows}</tbody></table>"
        )
    return f"<h2>Returns by month</h2>{''.join(parts)}"


def _year(year: int, found: Mapping[tuple[int, int], float]) -> str:
    cells, grown = [], 1.0
    for month in range(1, 13):
        value = found.get((year, month))
        grown *= 1.0 if value is None else 1.0 + value
        cells.append("<td></td>" if value is None else _signed(value))
    return f'<tr><th scope="row">{year}</th>{"".join(cells)}{_signed(grown - 1.0)}</tr>'


def _signed(value: float) -> str:
    style = "up" if value > 0.0 else "down" if value < 0.0 else "flat"
    return f'<td class="{style}">{_percent(value)}</td>'


def _trades(sheets: Sequence[Sheet]) -> str:
    return _pairs("Round trips", sheets, [_of_trades(each.pnl) for each in sheets])


def _of_trades(pnl: Floats) -> list[tuple[str, str]]:
    wins, losses = pnl[pnl > 0.0], pnl[pnl < 0.0]
    return [
        ("Closed", f"{pnl.size:,}"),
        ("Won", f"{wins.size:,}"),
        ("Lost", f"{losses.size:,}"),
        ("Mean win", _money(float(wins.mean())) if wins.size else "–"),
        ("Mean loss", _money(float(losses.mean())) if losses.size else "–"),
        ("Best", _money(float(pnl.max())) if pnl.size else "–"),
        ("Worst", _money(float(pnl.min())) if pnl.size else "–"),
        ("Most losses in a row", f"{_longest(pnl < 0.0):,}"),
        ("Profit in all", _money(float(pnl.sum()))),
    ]


def _longest(flags: NDArray[np.bool_]) -> int:
    longest = now = 0
    for each in flags.tolist():
        now = now + 1 if each else 0
        longest = max(longest, now)
    return longest


def _pairs(title: str, sheets: Sequence[Sheet], pairs: Sequence[Sequence[tuple[str, str]]]) -> str:
    names = list(dict.fromkeys(name for each in pairs for name, _ in each))
    heads = "".join(f"<th>{escape(each.title)}</th>" for each in sheets)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(dict(each).get(name, '–'))}</td>" for each in pairs)
        + "</tr>"
        for name in names
    )
    return (
        f"<h2>{escape(title)}</h2><table><thead><tr><th></th>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _written(value: float, form: str) -> str:
    match form:
        case "percent":
            return _percent(value)
        case "money":
            return _money(value)
        case _:
            return f"{value:,.2f}"


def _percent(value: float) -> str:
    return f"{value:.2%}"


def _money(value: float) -> str:
    return f"{value:,.2f}"
