"""The two samples of real bars that every catalogue shows, each with its warning."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from strategy_engine.market.model import Calendar, Instrument, Timeframe

_FOLDER = Path(__file__).parent / "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An instrument whose bars come with the product."""

    instrument: Instrument
    path: Path


SAMPLES = (
    Sample(
        instrument=Instrument(
            symbol="EUR/USD.SIM",
            venue="SIM",
            currency="USD",
            tick_size=Decimal("0.00001"),
            lot_size=Decimal(1),
            calendar=Calendar.FX,
            default_timeframe=Timeframe.parse("1h"),
            note=(
                "Sample: one year (2017) of ask prices, used as the last price. The RSI(14) 30/70 "
                "rule earns a Sharpe of 2.1 on it and loses on EUR/USD 2007-2018 (Sharpe -0.26, "
                "drawdown -38 %, 303 trades). One good year is luck until shown otherwise."
            ),
        ),
        path=_FOLDER / "EURUSD-1h.parquet",
    ),
    Sample(
        instrument=Instrument(
            symbol="GOOGL.SIM",
            venue="SIM",
            currency="USD",
            tick_size=Decimal("0.000001"),
            lot_size=Decimal(1),
            calendar=Calendar.SESSION,
            default_timeframe=Timeframe.parse("1d"),
            note=(
                "Sample: daily bars 2009-2018, prices adjusted for splits to six decimals. One "
                "company that rose sixfold: buying and holding is hard to beat on it, and a "
                "strategy that is mostly long looks good for no merit of its own."
            ),
        ),
        path=_FOLDER / "GOOGL-1d.parquet",
    ),
)


def of(symbol: str) -> Sample | None:
    """Return the sample of this symbol, if there is one."""
    return next((each for each in SAMPLES if each.instrument.symbol == symbol), None)
