"""Plots as SVG text: small, self-contained, with a title and a description that a screen reader tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 560
HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 52
_TICKS: Final = 5

# Okabe and Ito's colours, told apart also by people who see few colours; the dashes tell them apart without any.
STYLES: Final = (("#0072b2", ""), ("#d55e00", "7 4"), ("#009e73", "2 3"), ("#cc79a7", "9 3 2 3"))


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name in the legend and its points in the units of the axes."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """What a plot is about; both axes start at 0. `as_percent` says that ticks are shares."""

    title: str
    description: str
    x: str
    y: str
    x_max: float = 1.0
    y_max: float = 1.0
    x_as_percent: bool = True
    y_as_percent: bool = True


def lines(name: str, axes: Axes, series: Sequence[Series], diagonal: str) -> str:
    """A line plot with a diagonal from (0, 0) that `diagonal` names; `name` makes its ids unique."""
    body = [_frame(axes)]
    reach = min(axes.x_max, axes.y_max)
    x, y = _place(axes, reach, reach)
    body.append(f'<path class="diagonal" d="M{_LEFT} {HEIGHT - _BOTTOM}L{x} {y}"/>')
    for (colour, dash), one in zip(STYLES, series, strict=False):
        placed = [_place(axes, *point) for point in one.points]
        path = "L".join(f"{px} {py}" for px, py in placed)
        if path:
            body.append(
                f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
            )
        if one.dots:
            body += [f'<circle cx="{px}" cy="{py}" r="3" fill="{colour}"/>' for px, py in placed]
    names = [(one.name, *STYLES[index]) for index, one in enumerate(series)]
    body.append(_legend([*names, (diagonal, "currentColor", "3 3")]))
    return _svg(name, axes, body)


def bars(name: str, axes: Axes, heights: Sequence[tuple[float, float]], labels: tuple[str, str]) -> str:
    """Bars side by side over the x axis, each (whole, filled part); `labels` name the rest and the part."""
    body = [_frame(axes)]
    step = axes.x_max / max(len(heights), 1)
    floor = HEIGHT - _BOTTOM
    for index, (whole, part) in enumerate(heights):
        left, top = _place(axes, index * step, whole)
        right, part_top = _place(axes, (index + 1) * step, part)
        width = max(right - left - 1, 0.5)
        for edge, colour, opacity in ((top, STYLES[0][0], "0.35"), (part_top, STYLES[0][0], "1")):
            body.append(
                f'<rect x="{left}" y="{edge}" width="{width:.1f}" height="{max(floor - edge, 0):.1f}"'
                f' fill="{colour}" fill-opacity="{opacity}"/>'
            )
    body.append(_swatches(labels))
    return _svg(name, axes, body)


def _svg(name: str, axes: Axes, body: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(axes.title)}</title>'
        f'<desc id="{name}-desc">{escape(axes.description)}</desc>{"".join(body)}</svg>'
    )


def _place(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across = _LEFT + min(x / axes.x_max, 1.0) * (WIDTH - _LEFT - _RIGHT)
    down = HEIGHT - _BOTTOM - min(y / axes.y_max, 1.0) * (HEIGHT - _TOP - _BOTTOM)
    return round(across, 1), round(down, 1)


def _frame(axes: Axes) -> str:
    parts = []
    for index in range(_TICKS + 1):
        share = index / _TICKS
        x, y = _place(axes, share * axes.x_max, share * axes.y_max)
        across, down = (
            _label(share * axes.x_max, axes.x_as_percent),
            _label(share * axes.y_max, axes.y_as_percent),
        )
        parts.append(f'<path class="grid" d="M{_LEFT} {y}H{WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{down}</text>')
        parts.append(f'<text x="{x}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{across}</text>')
    middle_x, middle_y = (_LEFT + WIDTH - _RIGHT) / 2, (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{HEIGHT - _BOTTOM}H{WIDTH - _RIGHT}"/>')
    parts.append(f'<text x="{middle_x}" y="{HEIGHT - 12}" text-anchor="middle">{escape(axes.x)}</text>')
    parts.append(
        f'<text transform="translate(14 {middle_y}) rotate(-90)" text-anchor="middle">{escape(axes.y)}</text>'
    )
    return "".join(parts)


def _label(value: float, as_percent: bool) -> str:  # noqa: FBT001 - one of two ways to write it
    return f"{100 * value:.0f} %" if as_percent else f"{value:,.0f}"


def _legend(entries: Sequence[tuple[str, str, str]]) -> str:
    parts = []
    for index, (name, colour, dash) in enumerate(entries):
        y = HEIGHT - _BOTTOM - 14 - 18 * (len(entries) - 1 - index)
        x = WIDTH - _RIGHT - 176
        parts.append(
            f'<path d="M{x} {y}h28" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
            f'<text x="{x + 36}" y="{y + 4}">{escape(name)}</text>'
        )
    return "".join(parts)


def _swatches(labels: tuple[str, str]) -> str:
    parts = []
    for index, (label, opacity) in enumerate(zip(labels, ("0.35", "1"), strict=True)):
        x, y = WIDTH - _RIGHT - 176, _TOP + 6 + 18 * index
        parts.append(
            f'<rect x="{x}" y="{y}" width="12" height="12" fill="{STYLES[0][0]}" fill-opacity="{opacity}"/>'
            f'<text x="{x + 20}" y="{y + 10}">{escape(label)}</text>'
        )
    return "".join(parts)
