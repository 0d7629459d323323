"""Small pictures for notebooks as SVG, drawn by hand: histograms, curves, heat maps, intervals.

Text and axes have the colour of the text around them, so that they are read in the dark as well. All of them
return "" where there is nothing to draw.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# of Okabe and Ito, seen by the colour-blind; the last is the colour of the text
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "currentColor")
_WIDTH, _HEIGHT = 320, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 16, 30
# lowest to highest, dark to light, alike for the colour-blind: five stops of cividis
_STOPS = np.array([(0, 34, 78), (65, 77, 107), (124, 123, 120), (188, 175, 111), (254, 232, 56)], float)
_UNKNOWN = "#999999"
_CELLS = 40  # along one side; of more every second, third ...
_NUMBERED = 64  # so many cells at most have their number in them
_LOG = 30.0  # positive numbers that span more are drawn on a logarithmic scale
_NAME = 22  # characters of a label


class Curve(NamedTuple):
    """A line, and a band around it or None."""

    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


class Interval(NamedTuple):
    """A row: its name, an interval with what is inside, a colour and words at the right."""

    name: str
    low: float
    value: float
    high: float
    colour: str = "currentColor"
    words: str = ""


def histogram(values: Any, label: str, bins: int = 40) -> str:
    """The density of a sample, without its last thousandths on either side."""
    sample = np.asarray(values, float).ravel()
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return ""
    low, high = np.quantile(sample, [0.001, 0.999])
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300):
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(sample, bins, (low, high))
    density = counts / (sample.size * np.diff(edges))
    frame = _Frame((low, high), (0.0, float(density.max()) or 1.0), label, "density")
    corners = [(edges[0], 0.0)]
    for left, right, height in zip(edges[:-1], edges[1:], density, strict=True):
        corners += [(left, height), (right, height)]
    path = _path(frame.places(np.array([*corners, (edges[-1], 0.0)])))
    return frame.around(f'<path d="{path}Z" fill="{COLOURS[0]}" fill-opacity=".7"/>')


def curves(
    x: Any, lines: Mapping[str, Curve], label: str, what: str = "", *, logarithmic: bool = True
) -> str:
    """Lines over x with their bands; on a logarithmic scale, if that may be, where they span a lot."""
    x = np.asarray(x, float)
    drawn = [np.asarray(part, float) for line in lines.values() for part in line if part is not None]
    known = np.concatenate([part[np.isfinite(part)] for part in drawn]) if drawn else np.zeros(0)
    if known.size == 0 or not np.isfinite(x).any():
        return ""
    log = bool(logarithmic and known.min() > 0 and known.max() / known.min() > _LOG)
    ends = (float(np.nanmin(x)), float(np.nanmax(x)))
    low = float(known.min()) if logarithmic else min(0.0, float(known.min()))
    frame = _Frame(ends, (low, float(known.max())), label, what, log=log)
    inside = []
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        if line.low is not None and line.high is not None:
            band = np.concatenate([np.stack([x, line.low], 1), np.stack([x, line.high], 1)[::-1]])
            band = band[np.isfinite(band).all(1)]
            if len(band):
                inside.append(f'<path d="{_path(frame.places(band))}Z" fill="{colour}" fill-opacity=".25"/>')
        path = _path(frame.places(np.stack([x, np.asarray(line.y, float)], 1)))
        inside.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if len(lines) > 1:
            inside.append(_text(_LEFT + 4 + 90 * number, _TOP - 5, _short(name), colour=colour))
    return frame.around("".join(inside))


def heat_map(
    values: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    names: tuple[str, str],
    title: str,
    marks: Any = None,
) -> str:
    """A table of numbers as colours.

    Args:
        values: shape `(rows, columns)`.
        rows, columns: labels of the ticks.
        names: of the two axes, that of the rows first.
        title: what the numbers are.
        marks: words to stand in the cells in place of the numbers, of the same shape.
    """
    table: Any = np.asarray(values, float)
    if table.ndim != 2 or table.size == 0:
        return ""
    steps = [max(1, math.ceil(side / _CELLS)) for side in table.shape]
    table = table[:: steps[0], :: steps[1]]
    shown = None if marks is None else np.asarray(marks)[:: steps[0], :: steps[1]]
    ticks = list(rows)[:: steps[0]], list(columns)[:: steps[1]]
    count = table.shape
    width = max(4.0, min(56.0, 260.0 / count[1]))
    height = max(4.0, min(22.0, 180.0 / count[0]))
    left = 14 + 6 * max(len(_short(tick)) for tick in ticks[0])
    share: Any = _shares(table)
    corners = {(i, j): (left + j * width, _TOP + (count[0] - 1 - i) * height) for i, j in np.ndindex(*count)}
    # one path for each colour: a map of a thousand cells stays small
    cells: dict[str, list[str]] = {}
    for place, (x, y) in corners.items():
        colour = _UNKNOWN if np.isnan(share[place]) else _colour(round(float(share[place]) * 24) / 24)
        cells.setdefault(colour, []).append(f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z")
    inside = [f'<path fill="{colour}" d="{"".join(paths)}"/>' for colour, paths in cells.items()]
    if table.size <= _NUMBERED and width >= 28 and height >= 12:
        for place, (x, y) in corners.items():
            said = _digits(float(table[place])) if shown is None else str(shown[place])
            ink = "#000" if np.isnan(share[place]) or share[place] > 0.45 else "#fff"
            inside.append(_text(x + width / 2, y + height / 2 + 3, said, "middle", ink))
    bottom = _TOP + count[0] * height
    every = max(1, math.ceil(max(len(_short(tick)) for tick in ticks[1]) * 6.5 / width))
    inside += [
        _text(left + (j + 0.5) * width, bottom + 11, ticks[1][j], "middle") for j in range(0, count[1], every)
    ]
    every = max(1, math.ceil(11 / height))
    inside += [
        _text(left - 3, bottom - (i + 0.5) * height + 3, ticks[0][i], "end")
        for i in range(0, count[0], every)
    ]
    top = f"{_short(title)}; {_short(names[0])} upwards, {_short(names[1])} to the right"
    inside.append(_text(left, _TOP - 5, top))
    full = max(left + count[1] * width + 10, left + 6 * len(top))
    return _svg(full, bottom + 16, title, "".join(inside))


def intervals(rows: Sequence[Interval], title: str, *, limit: float | None = None, log: bool = False) -> str:
    """Intervals below each other with a line at the limit; an arrow where one goes beyond the picture."""
    rows = [row for row in rows if not math.isnan(row.value)]
    if not rows:
        return ""
    ends = [end for row in rows for end in (row.low, row.value, row.high) if math.isfinite(end)]
    ends += [] if limit is None else [limit]
    ends = [end for end in ends if end > 0] if log else [0.0, *ends]
    if not ends:
        return ""
    low, high = min(ends), max(ends)
    if limit is not None and not log:
        low, high = max(low, -2 * limit), min(max(high, 1.2 * limit), 4 * limit)
    if high <= low:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    left, inner = 14 + 6 * max(len(_short(row.name)) for row in rows), 170.0

    def place(value: float) -> float:
        if math.isnan(value):
            return left
        if log:
            value = math.log(max(value, low)) if math.isfinite(value) else math.log(high) * 2
            share = (value - math.log(low)) / (math.log(high) - math.log(low))
        else:
            share = (value - low) / (high - low)
        return left + inner * min(max(share, 0.0), 1.0)

    inside = [_text(left, _TOP - 5, title)]
    for number, row in enumerate(rows):
        y, (first, last) = _TOP + 16 * number + 9, (place(row.low), place(row.high))
        inside.append(_text(left - 5, y + 3, row.name, "end"))
        inside.append(
            f'<path d="M{first:.1f} {y}H{last:.1f}" stroke="{row.colour}" stroke-width="4" opacity=".5"/>'
        )
        inside.append(f'<circle cx="{place(row.value):.1f}" cy="{y}" r="3.5" fill="{row.colour}"/>')
        if row.high > high * (1 + 1e-9):
            inside.append(_text(left + inner + 1, y + 3.5, "→", colour=row.colour))
        inside.append(_text(left + inner + 14, y + 3, row.words))
    bottom = _TOP + 16 * len(rows) + 2
    if limit is not None:
        inside.append(
            f'<path d="M{place(limit):.1f} {_TOP}V{bottom}" stroke="currentColor" stroke-dasharray="3 2"/>'
        )
    inside += [_text(left, bottom + 11, _digits(low)), _text(left + inner, bottom + 11, _digits(high), "end")]
    words = max(len(_short(row.words)) for row in rows)
    return _svg(
        max(left + inner + 20 + 6 * words, left + 6 * len(title)), bottom + 16, title, "".join(inside)
    )


class _Frame:
    """Two axes with a number at each end."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], label: str, what: str, *, log: bool = False
    ):
        self.x = x if x[1] > x[0] else (x[0] - 0.5, x[1] + 0.5)
        self.y = y if y[1] > y[0] else (y[0] - 0.5 * (abs(y[0]) or 1), y[1] + 0.5 * (abs(y[1]) or 1))
        self.label, self.what, self.log = label, what, log and self.y[0] > 0

    def places(self, points: np.ndarray) -> np.ndarray:
        """Points of the data, shape `(n, 2)`, as points of the picture; what is not finite is NaN."""
        y, ends = points[:, 1], np.array(self.y)
        if self.log:
            with np.errstate(invalid="ignore", divide="ignore"):
                y, ends = np.log(y), np.log(ends)
        right, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        across = _LEFT + right * (points[:, 0] - self.x[0]) / (self.x[1] - self.x[0])
        up = _TOP + down * (1 - (y - ends[0]) / (ends[1] - ends[0]))
        placed = np.stack([across, up], 1)
        return np.where(np.isfinite(placed).all(1, keepdims=True), placed, np.nan)

    def around(self, inside: str) -> str:
        """The picture with its axes."""
        bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
        parts = [
            inside,
            f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="currentColor" opacity=".6"/>',
            _text(_LEFT, bottom + 12, _digits(self.x[0])),
            _text(right, bottom + 12, _digits(self.x[1]), "end"),
            _text((_LEFT + right) / 2, bottom + 24, self.label, "middle"),
            _text(_LEFT - 4, _TOP + 4, _digits(self.y[1]), "end"),
            _text(_LEFT - 4, bottom + 1, _digits(self.y[0]), "end"),
            _text(_LEFT - 4, (_TOP + bottom) / 2, self.what[:9], "end"),
        ]
        return _svg(_WIDTH, _HEIGHT, f"{self.what} over {self.label}", "".join(parts))


def _svg(width: float, height: float, title: str, inside: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{_safe(title)}" '
        f'font-family="sans-serif" font-size="10" style="max-width:100%">{inside}</svg>'
    )


def _text(x: float, y: float, words: str, anchor: str = "start", colour: str = "currentColor") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{_safe(_long(words))}</text>'
        if words
        else ""
    )


def _path(points: np.ndarray) -> str:
    """Lines through points; where one is NaN a new line begins."""
    parts, start = [], True
    for x, y in points:
        if np.isnan(x):
            start = True
            continue
        parts.append(f"{'M' if start else 'L'}{x:.1f} {y:.1f}")
        start = False
    return "".join(parts)


def _shares(table: np.ndarray) -> np.ndarray:
    """Of every number where it lies between the smallest and the largest one; NaN for what is not finite."""
    known = table[np.isfinite(table)]
    if known.size == 0:
        return np.full(table.shape, np.nan)
    low, high = known.min(), known.max()
    if high <= low:
        return np.where(np.isfinite(table), 0.5, np.nan)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if low > 0 and high / low > _LOG:
            table, low, high = np.log(table), np.log(low), np.log(high)
        share = (table - low) / (high - low)
    return np.where(np.isfinite(share), share, np.nan)


def _colour(share: float) -> str:
    place = share * (len(_STOPS) - 1)
    under = min(int(place), len(_STOPS) - 2)
    red, green, blue = _STOPS[under] + (place - under) * (_STOPS[under + 1] - _STOPS[under])
    return f"#{round(red):02x}{round(green):02x}{round(blue):02x}"


def _digits(value: float) -> str:
    return f"{float(value):.3g}".replace("-", "−")


def _short(words: str) -> str:
    return words if len(words) <= _NAME else f"{words[: _NAME - 1]}…"


def _long(words: str) -> str:
    return words if len(words) <= 4 * _NAME else f"{words[: 4 * _NAME - 1]}…"


def _safe(words: str) -> str:
    return html.escape(words)
