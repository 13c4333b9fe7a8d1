"""Plots as SVG that takes the colours of the page around it, and reads at the width of a phone.

Two kinds: points and lines over two axes (`Plot`), and values with intervals, one below the other
(`Intervals`). What is not finite is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["COLORS", "Intervals", "Plot", "Series"]

COLORS = ("#3f51b5", "#d9640f", "#12876f", "#b0287f", "#7a6a00", "#2180b8")
"""Of series in turn, where the page around has none of its own (``--s0`` …)."""

_WIDTH, _HEIGHT = 440.0, 340.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 14.0, 14.0, 52.0
_FONT, _SMALL, _CHARACTER = 14, 12.5, 7.4
_INK, _SOFT, _RULE = "var(--ink, #1b1f24)", "var(--soft, #5b6470)", "var(--rule, #dfe3e8)"

Range = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Points, joined by a line or not.

    Attributes:
        name: For the legend; the same for series that have one colour.
        x: Where.
        y: How high.
        low: Lower ends of the intervals of y.
        high: Upper ends.
        x_low: Lower ends of the intervals of x.
        x_high: Upper ends.
        labels: Texts beside the points.
        line: Whether the points are joined; then intervals of y are a band.
        muted: Thin and grey, for what is only background; not in the legend.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    x_low: Sequence[float] = ()
    x_high: Sequence[float] = ()
    labels: Sequence[str] = ()
    line: bool = True
    muted: bool = False


@dataclass(frozen=True)
class Plot:
    """Series over two axes.

    Attributes:
        series: What is drawn.
        x_label: Below.
        y_label: At the left.
        x_range: Of the axis; by default that of the points and their intervals.
        y_range: Of the axis; by default that of the points and their intervals.
        diagonal: Draw the line y = x.
    """

    series: Sequence[Series]
    x_label: str
    y_label: str
    x_range: Range | None = None
    y_range: Range | None = None
    diagonal: bool = False

    @property
    def legend(self) -> list[tuple[str, int]]:
        """Names of the series and the numbers of their colours."""
        names = dict.fromkeys(s.name for s in self.series if not s.muted)
        return [(name, i) for i, name in enumerate(names)]

    def svg(self) -> str:
        """The drawing, ``<svg>…</svg>``."""
        beside = [v for s in self.series for v in (s.x, s.x_low, s.x_high)]
        above = [v for s in self.series for v in (s.y, s.low, s.high)]
        x = _Axis(self.x_range or _range(beside), _LEFT, _WIDTH - _RIGHT)
        y = _Axis(self.y_range or _range(above), _HEIGHT - _BOTTOM, _TOP)
        colors = dict(self.legend)
        parts = [*_frame(x, y), *_axis_labels(self.x_label, self.y_label)]
        if self.diagonal:
            low, high = max(x.low, y.low), min(x.high, y.high)
            parts.append(_line(x(low), y(low), x(high), y(high), _SOFT, dash="4 4"))
        # Muted ones lie below, and of the others the first on top.
        muted, others = ([s for s in self.series if s.muted == m] for m in (True, False))
        ordered = [*muted, *reversed(others)]
        parts += [p for s in ordered for p in _series(s, x, y, colors.get(s.name, 0))]
        parts += _labels(self.series, x, y)
        return _svg(_HEIGHT, parts, f"{self.y_label} over {self.x_label}")


@dataclass(frozen=True)
class Intervals:
    """Values with intervals, each in a row of its own.

    Attributes:
        rows: Name, value, lower and upper end.
        label: Of the axis below.
        reference: Where a line is drawn, such as 0 for differences.
        limits: Of the axis; by default what the intervals take.
    """

    rows: Sequence[tuple[str, float, float, float]]
    label: str
    reference: float | None = None
    limits: Range | None = None

    @property
    def legend(self) -> list[tuple[str, int]]:
        """None is needed."""
        return []

    def svg(self) -> str:
        """The drawing, ``<svg>…</svg>``."""
        step, left = 22.0, 8 + min(170.0, max(len(r[0]) for r in self.rows) * 7.2)
        bottom = _TOP + step * len(self.rows)
        extra = () if self.reference is None else (self.reference,)
        x = _Axis(
            self.limits or _range([[v for r in self.rows for v in r[1:]], extra]),
            left,
            _WIDTH - _RIGHT,
        )
        parts = []
        for tick in x.ticks():
            parts.append(_line(x(tick), _TOP, x(tick), bottom, _RULE))
            parts.append(_text(x(tick), bottom + 18, f"{tick:g}", "middle"))
        parts.append(_text((left + _WIDTH - _RIGHT) / 2, bottom + 40, self.label, "middle", _INK))
        if self.reference is not None:
            at = x(self.reference)
            parts.append(_line(at, _TOP, at, bottom, _SOFT, dash="4 4"))
        for i, (name, value, low, high) in enumerate(self.rows):
            at = _TOP + step * (i + 0.5)
            parts.append(_text(left - 8, at + 4.5, name, "end", _INK, 13))
            if math.isfinite(value):
                title = f"{name}: {value:.3f}"
                if math.isfinite(low) and math.isfinite(high):
                    parts.append(_line(x(low), at, x(high), at, _color(0), width=2.5))
                    title += f" [{low:.3f}, {high:.3f}]"
                parts.append(_dot(x(value), at, _color(0), title))
        return _svg(bottom + 48, parts, self.label)


class _Axis:
    """From values to places."""

    def __init__(self, limits: Range, start: float, end: float) -> None:
        self.low, self.high = limits
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Four to eight round numbers."""
        raw = (self.high - self.low) / 5
        power = 10 ** math.floor(math.log10(raw))
        step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first
        return [round((first + i) * step, 12) for i in range(count + 1)]


def _range(values: Sequence[Sequence[float]]) -> Range:
    known = [v for row in values for v in row if math.isfinite(v)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _frame(x: _Axis, y: _Axis) -> Iterator[str]:
    for tick in x.ticks():
        yield _line(x(tick), y.start, x(tick), y.end, _RULE)
        yield _text(x(tick), y.start + 18, f"{tick:g}", "middle")
    for tick in y.ticks():
        yield _line(x.start, y(tick), x.end, y(tick), _RULE)
        yield _text(x.start - 7, y(tick) + 4.5, f"{tick:g}", "end")


def _axis_labels(below: str, beside: str) -> Iterator[str]:
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    yield _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, below, "middle", _INK)
    turned = f'transform="rotate(-90 14 {middle:g})"'
    yield _text(14, middle, beside, "middle", _INK, extra=turned)


def _series(s: Series, x: _Axis, y: _Axis, color: int) -> Iterator[str]:
    ink = _SOFT if s.muted else _color(color)
    at = [i for i in range(len(s.x)) if math.isfinite(s.x[i]) and math.isfinite(s.y[i])]
    places = [f"{x(s.x[i]):.1f},{y(s.y[i]):.1f}" for i in at]
    known = [i for i in at if len(s.low) and math.isfinite(s.low[i]) and math.isfinite(s.high[i])]
    if s.line and known and not s.muted:
        upper = [f"{x(s.x[i]):.1f},{y(s.high[i]):.1f}" for i in known]
        lower = [f"{x(s.x[i]):.1f},{y(s.low[i]):.1f}" for i in reversed(known)]
        yield f'<polygon points="{" ".join(upper + lower)}" style="fill:{ink}" opacity=".18"/>'
    if s.line:
        look = "stroke-width:1;opacity:.45" if s.muted else "stroke-width:2.5"
        yield (
            f'<polyline points="{" ".join(places)}" style="fill:none;stroke:{ink};{look}">'
            f"<title>{escape(s.name)}</title></polyline>"
        )
    for i in at:
        if not s.line and i in known:
            yield _line(x(s.x[i]), y(s.low[i]), x(s.x[i]), y(s.high[i]), ink, opacity=0.5)
        if len(s.x_low) and math.isfinite(s.x_low[i]) and math.isfinite(s.x_high[i]):
            yield _line(x(s.x_low[i]), y(s.y[i]), x(s.x_high[i]), y(s.y[i]), ink, opacity=0.5)
        if not s.muted:
            name = s.labels[i] if len(s.labels) else s.name
            yield _dot(x(s.x[i]), y(s.y[i]), ink, f"{name}: {s.x[i]:.3g}, {s.y[i]:.3g}")


def _labels(series: Sequence[Series], x: _Axis, y: _Axis) -> Iterator[str]:
    """Beside each point, where the fewest other points and labels are in the way."""
    points = [
        (x(a), y(b), label)
        for s in series
        for a, b, label in zip(s.x, s.y, s.labels, strict=False)
        if math.isfinite(a) and math.isfinite(b)
    ]
    taken = [(px - 4, py - 4, px + 4, py + 4) for px, py, _ in points]
    for px, py, label in points:
        width, height = _CHARACTER * len(label), 11.0
        tried = [
            (px + dx - share * width, py + dy)
            for dy in (-8, 4, 16, -20, 28)
            for dx, share in ((7, 0.0), (-7, 1.0), (0, 0.5))
            if not (dx == 0 and dy == 4)
        ]
        boxes = [(left, base - height, left + width, base + 2) for left, base in tried]
        best = min(boxes, key=lambda box: (_clashes(box, taken, x, y), boxes.index(box)))
        taken.append(best)
        yield _text(best[0], best[3] - 2, label, "start", _INK, _SMALL)


Box = tuple[float, float, float, float]


def _clashes(box: Box, taken: Sequence[Box], x: _Axis, y: _Axis) -> float:
    outside = box[0] < x.start or box[2] > _WIDTH or box[1] < 0 or box[3] > y.start
    overlap = sum(
        max(0.0, min(box[2], t[2]) - max(box[0], t[0]))
        * max(0.0, min(box[3], t[3]) - max(box[1], t[1]))
        for t in taken
    )
    return overlap + 1e4 * outside


def _color(number: int) -> str:
    number %= len(COLORS)
    return f"var(--s{number}, {COLORS[number]})"


def _line(
    x1: float, y1: float, x2: float, y2: float, ink: str, *,
    width: float = 1, dash: str = "", opacity: float = 1,
) -> str:  # fmt: skip
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" opacity="{opacity:g}"'
        f' style="stroke:{ink};stroke-width:{width:g}"{dashes}/>'
    )


def _dot(x: float, y: float, ink: str, title: str) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" style="fill:{ink}">'
        f"<title>{escape(title)}</title></circle>"
    )


def _text(
    x: float, y: float, text: str, anchor: str, ink: str = _SOFT, size: float = _FONT,
    extra: str = "",
) -> str:  # fmt: skip
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}" {extra}'
        f' style="fill:{ink}">{escape(text)}</text>'
    )


def _svg(height: float, parts: Sequence[str], title: str) -> str:
    font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif"
    ground = '<rect width="100%" height="100%" style="fill:var(--paper, #ffffff)"/>'
    return (
        f'<svg class="plot" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {_WIDTH:g} {height:g}" font-family="{font}">'
        f"<title>{escape(title)}</title>{ground}{''.join(parts)}</svg>"
    )
