"""Pages that need nothing besides themselves, whatever users have called things."""

from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategy_engine.performance import formulas, measure, model, plots, tearsheet
from strategy_engine.performance.tearsheet import Sheet

DAY = formulas.NANOS_PER_DAY
JAN_5_2026 = 20_458 * DAY
VOID = {"meta"}


class Checked(HTMLParser):
    """Reads a page; every tag must be closed in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(page: str) -> Checked:
    found = Checked()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


def sheet(title="RSI 1.0.0", days=90, seed=1, facts=()) -> Sheet:
    random = np.random.default_rng(seed)
    close_ns = JAN_5_2026 + np.arange(1, days + 1, dtype=np.int64) * DAY
    worth = np.cumprod(1.0 + random.normal(0.001, 0.01, days))
    benchmark = np.cumprod(1.0 + random.normal(0.0, 0.01, days))
    metrics = measure.measure_bars(
        worth,
        ts_ns=close_ns,
        capital=1.0,
        round_trips=(),
        benchmark_price=benchmark,
        periods_per_year=365,
    )
    found = {name: getattr(metrics, name) for name in model.Metrics.__slots__}
    return Sheet(
        title=title,
        facts=[("Status", "stopped"), *facts],
        close_ns=close_ns,
        worth=worth,
        benchmark=benchmark,
        pnl=random.normal(1.0, 20.0, days // 2),
        metrics={k: v for k, v in found.items() if isinstance(v, model.Estimate)},
        costs=[("Fees", "12.30")],
    )


def test_a_page_has_four_plots_and_every_table_and_loads_nothing():
    page = tearsheet.render([sheet()])
    found = read(page)
    assert found.tags.count("svg") == 4
    assert found.tags.count("table") == 4
    assert {"script", "link", "img", "iframe"}.isdisjoint(found.tags)
    assert {"href", "src", "onload"}.isdisjoint(name for name, _ in found.attributes)
    assert "95 % interval" in page


def test_two_versions_stand_side_by_side():
    page = tearsheet.render([sheet("RSI 1.0.0"), sheet("RSI 1.1.0", days=40, seed=2)])
    found = read(page)
    assert "".join(found.texts).count("RSI 1.1.0") > 5
    assert page.count('class="line s1"') == 2
    assert page.count('class="line b1"') == 1


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=40) | st.sampled_from(["<script>x</script>", '"><img src=x>', "&lt;"]))
def test_no_text_of_a_user_becomes_anything_but_text(text):
    plain = read(tearsheet.render([sheet("a")]))
    found = read(tearsheet.render([sheet(text, facts=[(text, text)])]))
    assert [tag for tag in found.tags if tag not in {"dt", "dd"}] == [
        tag for tag in plain.tags if tag not in {"dt", "dd"}
    ]


@pytest.mark.parametrize("days", [0, 1, 2])
def test_a_history_that_has_hardly_begun_has_a_page_too(days):
    found = read(tearsheet.render([sheet(days=days)]))
    assert "Metrics" in found.texts


def test_months_multiply_to_the_whole_and_a_close_at_midnight_ends_its_day():
    close_ns = JAN_5_2026 + np.arange(1, 400, dtype=np.int64) * DAY
    worth = np.cumprod(1.0 + np.random.default_rng(3).normal(0.0, 0.01, close_ns.size))
    found = tearsheet.monthly(close_ns, worth)
    assert np.prod([1.0 + each for each in found.values()]) == pytest.approx(worth[-1])
    assert min(found) == (2026, 1)
    february = (close_ns - 1) < (20_485 * DAY)  # closes until the first of February, 00:00
    assert found[2026, 1] == pytest.approx(worth[february][-1] - 1.0)


def test_the_rolling_ratio_is_that_of_its_window_alone():
    returns = np.random.default_rng(4).normal(0.001, 0.01, 100)
    close_ns = JAN_5_2026 + np.arange(100, dtype=np.int64) * DAY
    found = tearsheet.rolling_sharpe(close_ns, returns, days=30)
    expected = formulas.sharpe_ratio(returns[40:70], periods=365)
    assert found[69] == pytest.approx(expected)
    assert np.isnan(found[:29]).all()
    assert np.isnan(tearsheet.rolling_sharpe(close_ns, np.zeros(100))).all()


@given(st.integers(0, 5_000), st.integers(0, 2**32 - 1))
def test_a_thinned_line_keeps_its_extremes_and_its_ends(size, seed):
    y = np.random.default_rng(seed).normal(size=size)
    x = np.arange(size, dtype=np.int64)
    kept_x, kept_y = plots.thinned(x, y)
    assert kept_x.size <= plots.MOST_POINTS + 2
    if size:
        assert (kept_y.min(), kept_y.max()) == (y.min(), y.max())
        assert (kept_x[0], kept_x[-1]) == (0, size - 1)
    assert (np.diff(kept_x) > 0).all()
