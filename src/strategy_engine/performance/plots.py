"""Plots as SVG text: lines, areas below zero, histograms. Pure; no script, nothing loaded."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

WIDTH, HEIGHT = 860, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 26
MOST_POINTS = 900  # about one for each pixel
_TICKS = 5
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One line of a plot.

    Parameters
    ----------
    x : array of int64, shape (n,)
        Nanoseconds since 1970.
    y : array of float64, shape (n,)
        A gap where it is not finite.
    style : str
        Its class in the page's style sheet.
    """

    name: str
    x: Ints
    y: Floats
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    low: float
    high: float
    first: float
    last: float

    def at(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.first + (value - self.low) / span * (self.last - self.first)


def thinned(x: Ints, y: Floats, most: int = MOST_POINTS) -> tuple[Ints, Floats]:
    """Return a line with at most about `most` points that looks the same: the extremes stay."""
    if x.size <= most:
        return x, y
    bounds = np.linspace(0, x.size, most // 2 + 1).astype(np.int64)
    kept = {0, x.size - 1}
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        part = y[start:stop]
        if part.size and np.isfinite(part).any():
            kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
    places = np.array(sorted(kept), dtype=np.int64)
    return x[places], y[places]


def lines(
    title: str,
    series: Sequence[Series],
    *,
    form: Callable[[float], str],
    is_filled: bool = False,
) -> str:
    """Return a plot of lines over time, or of the areas between them and zero."""
    shown = [each for each in series if np.isfinite(each.y).any()]
    if not shown:
        return _nothing(title)
    across, up = _over_time(shown), _upwards(shown)
    marks = [_grid(up, form), _times(across)]
    if up.low < 0.0 < up.high:
        marks.append(_rule(up.at(0.0), "zero"))
    for each in shown:
        x, y = thinned(each.x, each.y)
        marks.append(_path(x, y, across, up, each, is_filled=is_filled))
    return _framed(title, "".join(marks), _legend(shown))


def histogram(
    title: str,
    samples: Sequence[tuple[str, Floats, str]],
    *,
    form: Callable[[float], str],
    bins: int = 41,
) -> str:
    """Return how often values occur; each sample is its name, its values and its style."""
    shown = [(name, values[np.isfinite(values)], style) for name, values, style in samples]
    shown = [each for each in shown if each[1].size]
    if not shown:
        return _nothing(title)
    everything = np.concatenate([values for _, values, _ in shown])
    low, high = np.quantile(everything, (0.005, 0.995)).tolist()
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    counts = [np.histogram(np.clip(values, low, high), edges)[0] for _, values, _ in shown]
    across = _Scale(low=low, high=high, first=_LEFT, last=WIDTH - _RIGHT)
    most = float(max(each.max() for each in counts))
    up = _Scale(low=0.0, high=most or 1.0, first=HEIGHT - _BOTTOM, last=_TOP)
    marks = [_grid(up, lambda value: f"{value:,.0f}"), _labels(across, form)]
    for number, (count, (_, _, style)) in enumerate(zip(counts, shown, strict=True)):
        marks += _bars(count.tolist(), edges.tolist(), across, up, (style, number, len(shown)))
    names = [
        Series(name=name, x=np.empty(0, np.int64), y=values, style=style)
        for name, values, style in shown
    ]
    return _framed(title, "".join(marks), _legend(names))


def _over_time(shown: Sequence[Series]) -> _Scale:
    return _Scale(
        low=float(min(each.x[0] for each in shown)),
        high=float(max(each.x[-1] for each in shown)),
        first=_LEFT,
        last=WIDTH - _RIGHT,
    )


def _upwards(shown: Sequence[Series]) -> _Scale:
    low = min(float(np.nanmin(each.y)) for each in shown)
    high = max(float(np.nanmax(each.y)) for each in shown)
    room = 0.05 * (high - low) or max(1e-9, abs(high) * 0.05)
    return _Scale(low=low - room, high=high + room, first=HEIGHT - _BOTTOM, last=_TOP)


def _ticks(scale: _Scale) -> list[float]:
    span = scale.high - scale.low
    rough = span / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in _STEPS if each * power >= rough * (1 - 1e-9))
    first = math.ceil(scale.low / step)
    return [step * (first + n) for n in range(math.floor(scale.high / step) - first + 1)]


def _grid(up: _Scale, form: Callable[[float], str]) -> str:
    marks = []
    for value in _ticks(up):
        y = up.at(value)
        marks.append(_rule(y, "grid"))
        marks.append(
            f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(form(value))}</text>"
        )
    return "".join(marks)


def _labels(across: _Scale, form: Callable[[float], str]) -> str:
    return "".join(
        f'<text class="tick" x="{across.at(value):.1f}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(form(value))}</text>"
        for value in _ticks(across)
    )


def _times(across: _Scale) -> str:
    pattern = "%Y-%m-%d" if across.high - across.low > 3 * _DAY_NS else "%m-%d %H:%M"
    marks = []
    for number in range(_TICKS):
        value = across.low + (across.high - across.low) * number / (_TICKS - 1)
        anchor = "start" if number == 0 else "end" if number == _TICKS - 1 else "middle"
        told = datetime.fromtimestamp(value / 1e9, UTC).strftime(pattern)
        marks.append(
            f'<text class="tick" x="{across.at(value):.1f}" y="{HEIGHT - 8}"'
            f' text-anchor="{anchor}">{told}</text>'
        )
    return "".join(marks)


def _path(x: Ints, y: Floats, across: _Scale, up: _Scale, of: Series, *, is_filled: bool) -> str:
    points, parts = [], []
    for moment, value in zip(x.tolist(), y.tolist(), strict=True):
        if math.isfinite(value):
            points.append(f"{across.at(moment):.1f},{up.at(value):.1f}")
        elif points:
            parts.append(points)
            points = []
    parts.append(points)
    drawn = [each for each in parts if each]
    if is_filled:
        return "".join(_area(each, up.at(0.0), of.style) for each in drawn)
    path = "".join(f"M{each[0]}L{' '.join(each[1:])}" for each in drawn if len(each) > 1)
    return f'<path class="line {escape(of.style)}" d="{path}"/>'


def _area(points: list[str], zero: float, style: str) -> str:
    first, last = points[0].split(",")[0], points[-1].split(",")[0]
    path = f"M{first},{zero:.1f}L{' '.join(points)} {last},{zero:.1f}Z"
    return f'<path class="area {escape(style)}" d="{path}"/>'


def _bars(
    counts: list[int],
    edges: list[float],
    across: _Scale,
    up: _Scale,
    place: tuple[str, int, int],
) -> list[str]:
    style, number, parts = place
    marks = []
    for count, start, stop in zip(counts, edges[:-1], edges[1:], strict=True):
        width = (across.at(stop) - across.at(start)) / parts
        x, y = across.at(start) + width * number, up.at(count)
        marks.append(
            f'<rect class="bar {escape(style)}" x="{x + 0.5:.1f}" y="{y:.1f}"'
            f' width="{max(0.5, width - 1):.1f}" height="{up.first - y:.1f}"/>'
        )
    return marks


def _rule(y: float, style: str) -> str:
    return f'<line class="{style}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _legend(shown: Sequence[Series]) -> str:
    return "".join(
        f'<span class="key {escape(each.style)}">{escape(each.name)}</span>' for each in shown
    )


def _framed(title: str, marks: str, legend: str) -> str:
    return (
        f"<figure><figcaption>{escape(title)}{legend}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{marks}</svg></figure>"
    )


def _nothing(title: str) -> str:
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        '<p class="nothing">There is nothing to draw yet.</p></figure>'
    )
